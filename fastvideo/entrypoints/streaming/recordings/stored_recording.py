"""What a folder holds, after a server has started: recordings that ended, and those whose server was killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastvideo.entrypoints.streaming.recordings.event_lines import END, START, read_events
from fastvideo.entrypoints.streaming.recordings.recording import EVENTS, MEDIA, POSTER, Recording, file_bytes
from fastvideo.entrypoints.streaming.recordings.recording_info import MAX_PROMPT_CHARS, RecordingInfo
from fastvideo.media.boxes import BoxError

INTERRUPTED = "interrupted"


def read_stored(path: Path, recording_id: str) -> RecordingInfo | None:
    """What lies there. One that was never ended is ended now, after its last whole fragment and event.

    None when nothing of it can be played. Raises OSError.
    """
    events, events_bytes = read_events(path / EVENTS)
    start = next((event["payload"] for event in events if event.get("event") == START), None)
    try:
        status = os.stat(path / MEDIA, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if start is None:
        return None
    info = RecordingInfo(
        id=recording_id,
        started_at_s=_number(events[0], "ts", status.st_mtime),
        media_bytes=status.st_size,
        other_bytes=events_bytes + file_bytes(path / POSTER),
        width_px=int(_number(start, "width")),
        height_px=int(_number(start, "height")),
        model_id=str(start.get("model_id", "")),
        poster=(path / POSTER).is_file(),
    )
    last, summary = events[-1], events[-1]["payload"]
    if last.get("event") != END or summary.get("bytes") != status.st_size:
        return _interrupted(path, info, events, round(status.st_mtime, 3))
    return replace(
        info,
        ended_at_s=_number(last, "ts", status.st_mtime),
        reason=str(summary.get("reason", INTERRUPTED)),
        duration_s=_number(summary, "duration_s"),
        segments=int(_number(summary, "segments")),
        prompt=str(summary.get("prompt", ""))[:MAX_PROMPT_CHARS],
    )


def _interrupted(
    path: Path, info: RecordingInfo, events: list[dict[str, Any]], ended_at_s: float
) -> RecordingInfo | None:
    try:
        recording = Recording.of_killed_writer(path, info, events)
    except BoxError:
        return None
    with contextlib.suppress(OSError):
        # A disk that is full takes no last line; what there is can be played without it.
        recording.finish(INTERRUPTED, ended_at_s)
    return recording.info if recording.info.media_bytes else None


def _number(fields: Mapping[str, Any], key: str, default: float = 0.0) -> float:
    value = fields.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

"""One recording while it is written: a folder with its MP4, its events and its poster. Blocking; one thread writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastvideo.entrypoints.streaming.recordings.event_lines import END, START, EventFile, event_line, read_events
from fastvideo.entrypoints.streaming.recordings.media_file import MediaFile, is_init_segment
from fastvideo.entrypoints.streaming.recordings.poster import make_poster
from fastvideo.entrypoints.streaming.recordings.recording_ends import RecordingEnds
from fastvideo.entrypoints.streaming.recordings.recording_info import MAX_PROMPT_CHARS, RecordingInfo
from fastvideo.media.boxes import BoxError
from fastvideo.media.movie_fragment import read_spans
from fastvideo.media.segment_index import fragment_pairs

MEDIA, EVENTS, POSTER = "recording.mp4", "events.jsonl", "poster.jpg"
_MAX_WAITING_BYTES = 1 << 20


class Recording:
    """Begins with the first init segment; events before that wait for it.

    Methods raise RecordingEnds when it cannot go on, and OSError for the disk's faults; call :meth:`finish` then.
    ``make_room``: whether so many bytes more may be stored, in a new recording or in one that is there.
    """

    def __init__(
        self,
        path: Path,
        info: RecordingInfo,
        *,
        max_bytes: int,
        make_room: Callable[[int, bool], bool],
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._make_room = make_room
        self._media: MediaFile | None = None
        self._events: EventFile | None = None
        self._waiting: list[bytes] = []
        self._poster_bytes = file_bytes(path / POSTER)
        self.info = info

    @classmethod
    def of_killed_writer(cls, path: Path, info: RecordingInfo, events: Iterable[Mapping[str, Any]]) -> Recording:
        """One to be finished, from what a writer left. Raises BoxError when there is no beginning, OSError."""
        recording = cls(path, info, max_bytes=info.total_bytes, make_room=lambda more, new: False)
        recording._media, recording._events = recovered(path)
        for event in events:
            recording._note_event(str(event.get("event")), event["payload"])
        recording._note_sizes()
        return recording

    @property
    def media(self) -> MediaFile | None:
        """The MP4, once there is one that has not been finished."""
        return self._media

    def add_media(self, data: bytes, ts: float) -> None:
        """One binary message of the stream, at ``ts`` seconds since the epoch."""
        try:
            if is_init_segment(data):
                self._add_init(data, ts)
                return
            if self._media is None:
                raise RecordingEnds("media_invalid")
            if not self._media.has_media and _first_sequence(data) != 1:
                # It began on another server, where its recording is.
                raise RecordingEnds("resumed")
            self._check_room(len(data))
            self._media.append(data)
        except BoxError:
            raise RecordingEnds("media_invalid") from None
        self._note_sizes()
        if not self.info.poster:
            self._add_poster(self._media.init, data)

    def add_event(self, event: str, ts: float, payload: Mapping[str, Any]) -> None:
        """Something that happened at ``ts``; its place in the media is where the pictures end by now."""
        self._note_event(event, payload)
        line = event_line(event, ts, self.info.duration_s, payload)
        if self._events is not None:
            self._check_room(len(line))
            self._events.append(line)
            self._note_sizes()
            return
        self._waiting.append(line)
        if sum(map(len, self._waiting)) > _MAX_WAITING_BYTES:
            raise RecordingEnds("session_limit")

    def finish(self, reason: str, ts: float) -> None:
        """End it: nothing may be added any more. Without a whole fragment nothing is left of it."""
        self.info = replace(self.info, ended_at_s=ts, reason=reason)
        media, self._media = self._media, None
        events, self._events = self._events, None
        if media is None or events is None:
            return
        try:
            if not media.has_media:
                return
            media.finish()
            summary = {
                "reason": reason,
                "duration_s": round(media.duration_s, 3),
                "bytes": media.size,
                "segments": self.info.segments,
                "prompt": self.info.prompt,
                "model_id": self.info.model_id,
            }
            events.append(event_line(END, ts, media.duration_s, summary))
            self.info = replace(self.info, other_bytes=events.size + self._poster_bytes)
        finally:
            media.close()
            events.close()

    def _add_init(self, init: bytes, ts: float) -> None:
        if self._media is not None:
            # Each segment repeats it; another one cannot follow in the same file.
            if init != self._media.init:
                raise RecordingEnds("format_changed")
            return
        self._check_room(len(init), new=True)
        self._path.mkdir(mode=0o700, exist_ok=True)
        media, events = self._media, self._events = self._files(init)
        width_px, height_px = media.pictures.width_px, media.pictures.height_px
        self.info = replace(self.info, width_px=width_px, height_px=height_px)
        facts = {
            "session_id": self.info.id,
            "model_id": self.info.model_id,
            "width": width_px,
            "height": height_px,
        }
        waiting, self._waiting = self._waiting, []
        start_s = ts if media.has_media else self.info.started_at_s
        for line in [event_line(START, start_s, media.duration_s, facts), *waiting]:
            self._check_room(len(line))
            events.append(line)
        self._note_sizes()

    def _files(self, init: bytes) -> tuple[MediaFile, EventFile]:
        """New ones, or those that the session recorded to before it was resumed."""
        try:
            media = MediaFile.create(self._path / MEDIA, init)
        except FileExistsError:
            media, events = recovered(self._path)
            if media.init == init:
                return media, events
            media.close()
            events.close()
            raise RecordingEnds("format_changed") from None
        try:
            return media, EventFile(self._path / EVENTS)
        except BaseException:
            media.close()
            raise

    def _check_room(self, more_bytes: int, *, new: bool = False) -> None:
        if self.info.total_bytes + more_bytes > self._max_bytes:
            raise RecordingEnds("session_limit")
        if not self._make_room(more_bytes, new):
            raise RecordingEnds("storage_limit")

    def _add_poster(self, init: bytes, fragments: bytes) -> None:
        picture = make_poster(init, fragments)
        if picture is None:
            return
        new = self._path / f"{POSTER}.new"
        new.write_bytes(picture)
        os.replace(new, self._path / POSTER)
        self._poster_bytes = len(picture)
        self.info = replace(self.info, poster=True)
        self._note_sizes()

    def _note_sizes(self) -> None:
        media, events = self._media, self._events
        if media is None or events is None:
            return
        self.info = replace(
            self.info,
            duration_s=media.duration_s,
            media_bytes=media.size if media.has_media else 0,
            other_bytes=events.size + self._poster_bytes,
        )

    def _note_event(self, event: str, payload: Mapping[str, Any]) -> None:
        if event == "ltx2_segment_start" and not self.info.prompt:
            self.info = replace(self.info, prompt=str(payload.get("prompt", ""))[:MAX_PROMPT_CHARS])
        elif event == "ltx2_segment_complete":
            self.info = replace(self.info, segments=self.info.segments + 1)


def recovered(path: Path) -> tuple[MediaFile, EventFile]:
    """The files of a recording that ended, or whose writer was killed, cut to what is whole and open for more.

    Raises BoxError when there is no beginning, OSError.
    """
    media = MediaFile.recover(path / MEDIA)
    try:
        _, ends = read_events(path / EVENTS)
        return media, EventFile(path / EVENTS, keep_bytes=ends)
    except BaseException:
        media.close()
        raise


def _first_sequence(data: bytes) -> int:
    sequence, _ = read_spans(fragment_pairs(data)[0][0])
    return sequence


def file_bytes(path: Path) -> int:
    """The size of a file; 0 when it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

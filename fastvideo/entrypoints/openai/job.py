"""One video or set of images that somebody asked for: what is stored of it, and the live form that others wait for."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal

import msgspec

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.openai.protocol import generate_request_id

JOB_KIND = "fastvideo.job.v1"
_ID = re.compile(r"(?:video|img)_[0-9a-f]{32}")
_PREFIXES = {"video": "video_", "image": "img_"}

Kind = Literal["video", "image"]
Status = Literal["queued", "in_progress", "completed", "failed"]


def new_job_id(kind: Kind) -> str:
    """An id that says what it is of."""
    return _PREFIXES[kind] + generate_request_id()


def is_job_id(text: str, kind: Kind | None = None) -> bool:
    """Whether this has the shape of a job's id. Nothing else ever becomes a part of a path."""
    return _ID.fullmatch(text) is not None and (kind is None or text.startswith(_PREFIXES[kind]))


class JobFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a job failed, in words for its client."""

    code: str
    message: str


class JobRecord(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is stored of a job; times in whole seconds since the epoch, but for ``created_ns``.

    ``owner``: the name of its client's key, None where no keys are asked for. ``fields``: what its client asked for;
    ``image``: the file with its first image; ``waits``: its client waits for it on the connection on which it asked.
    ``key`` and ``body``: the idempotency key, and what tells what came with it. ``segments_done``, ``frames_done`` and
    ``cursor``: what is whole of the video, and how it goes on; ``outputs``: the finished files;
    ``peak_memory_mb``: as the generator reports it, the most of all its segments.
    """

    id: str
    kind: Kind
    created_ns: int
    owner: str | None = None
    status: Status = "queued"
    fields: dict[str, Any]
    model: str = ""
    size: str = ""
    seconds: str = ""
    response_format: Literal["url", "b64_json"] = "url"
    return_state: bool = False
    image: str | None = None
    waits: bool = False
    key: str | None = None
    body: str | None = None
    segments_done: int = 0
    frames_done: int = 0
    cursor: dict[str, Any] | None = None
    generation_ms: float = 0.0
    peak_memory_mb: float | None = None
    completed_at: int | None = None
    error: JobFault | None = None
    outputs: list[str] = msgspec.field(default_factory=list)
    output_bytes: int = 0

    def note_peak_memory(self, peak_mb: float | None) -> None:
        """A part of it took so much memory, as far as known."""
        if peak_mb is not None:
            self.peak_memory_mb = max(self.peak_memory_mb or 0.0, round(peak_mb, 1))

    @property
    def created_at(self) -> int:
        """When it was asked for."""
        return self.created_ns // 1_000_000_000

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ("completed", "failed")


def encode_job(record: JobRecord) -> ContinuationState:
    """The record in the form that stores keep."""
    return ContinuationState(JOB_KIND, msgspec.to_builtins(record))


def decode_job(state: ContinuationState) -> JobRecord:
    """What :func:`encode_job` made. Raises StateInvalid for anything else."""
    if state.kind != JOB_KIND:
        raise StateInvalid(f"a job's record: expected the kind {JOB_KIND}, got {state.kind[:40]!r}")
    try:
        return msgspec.convert(state.payload, JobRecord)
    except msgspec.ValidationError as error:
        raise StateInvalid("a job's record: expected one of this version, got another") from error


class Job:
    """A job of this server, for one event loop. ``progress`` is in percent, and never falls."""

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        self.progress = 100 if record.status == "completed" else 0
        self.version = 0
        self.deleted = False
        self._changed = asyncio.Event()

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.record.ended or self.deleted

    def advance(self, fraction: float) -> None:
        """So much of it is done, 0 to 1; 100 % is said only of what is whole."""
        percent = min(99, int(100 * fraction))
        if percent > self.progress:
            self.progress = percent
            self.changed()

    def changed(self) -> None:
        """Tell whoever waits."""
        self.version += 1
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def change(self, seen: int) -> None:
        """Wait until there is another version than the one that was seen."""
        while self.version == seen:
            await self._changed.wait()

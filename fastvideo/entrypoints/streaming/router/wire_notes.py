"""What a router reads of the messages that pass: who a session is, whether a replica refuses it, where its media is."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec

from fastvideo.entrypoints.streaming.router.frames import Message
from fastvideo.media.boxes import HEADER_BYTES, LARGE_HEADER_BYTES, Buffer

# Openings of this kind are short; anything longer starts a session.
_MAX_RESUME_CHARS = 4096
_MAX_NOTE_BYTES = 16 << 10
_BOX = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")
# moof: size, kind; mfhd: size, kind, version and flags, sequence number.
_MFHD = struct.Struct(">I4sI4sII")
# Reasons that another replica would give as well.
_FINAL_REASONS = frozenset(("unauthorized", "rate_limited", "prompt_blocked", "resume_expired"))


class ServerNote(msgspec.Struct):
    """Keys of a server's message that concern a router."""

    type: str = ""
    session_id: str | None = None
    resume_token: str | None = None
    code: str | None = None
    reason: str | None = None
    request_id: str | None = None
    status: str | None = None
    segment_idx: int | None = None
    retryable: bool = False

    @property
    def refuses(self) -> bool:
        """Whether this first message means that another replica should be asked."""
        return (
            self.type == "error"
            and self.code in ("session_rejected", "gpu_unavailable")
            and self.reason not in _FINAL_REASONS
        )


class _ClientNote(msgspec.Struct):
    type: str = ""
    resume_token: str | None = None
    last_sequence: int = 0
    frames_after: int = 0
    request_id: str | None = None


@dataclass(frozen=True)
class ResumeOpening:
    """A client that goes on with a session."""

    token: str
    last_sequence: int
    frames_after: int = 0


_server_note = msgspec.json.Decoder(ServerNote)
_client_note = msgspec.json.Decoder(_ClientNote)


def read_server_note(message: Message) -> ServerNote:
    """The note in a text message; an empty one for long messages and for text that is not what it should be."""
    if message.size > _MAX_NOTE_BYTES:
        return ServerNote()
    try:
        return _server_note.decode(message.payload())
    except msgspec.DecodeError:
        return ServerNote()


def read_resume(frame: str | bytes) -> ResumeOpening | None:
    """The opening message, when it goes on with a session."""
    if not isinstance(frame, str) or len(frame) > _MAX_RESUME_CHARS:
        return None
    opening = _read(frame)
    if opening.type != "session_resume" or opening.resume_token is None:
        return None
    return ResumeOpening(opening.resume_token, opening.last_sequence, opening.frames_after)


def read_prompt_id(frame: str | bytes) -> str | None:
    """The ``request_id`` of a prompt that has one."""
    if not isinstance(frame, str) or len(frame) > _MAX_NOTE_BYTES or '"request_id"' not in frame:
        return None
    message = _read(frame)
    return message.request_id if message.type == "segment_prompt_source" else None


def _read(text: str) -> _ClientNote:
    try:
        return _client_note.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return _ClientNote()


def last_sequence(media: Buffer) -> int | None:
    """The number of the last fragment in a binary message; None for an init segment, and for what is no fragment.

    Of each box only the header is looked at, and of a ``moof`` the ``mfhd`` that it begins with (ISO/IEC 14496-12,
    8.8.5), for this is done with all media that passes.
    """
    number, at, end = None, 0, len(media)
    while at < end:
        if at + HEADER_BYTES > end:
            return None
        size, kind = _BOX.unpack_from(media, at)
        if kind == b"moof":
            if at + _MFHD.size > end:
                return None
            _, _, _, first, _, number = _MFHD.unpack_from(media, at)
            if first != b"mfhd":
                return None
        if size == 1 and at + LARGE_HEADER_BYTES <= end:
            (size,) = _LARGE.unpack_from(media, at + HEADER_BYTES)
        if size < HEADER_BYTES:
            return None
        at += size
    return number if at == end else None

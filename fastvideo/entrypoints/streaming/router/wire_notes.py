"""What a router reads of the messages that pass: who a session is, whether a replica refuses it, where its media is."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec

from fastvideo.entrypoints.streaming.router.frames import Message
from fastvideo.media.boxes import BoxError, Buffer, parse_boxes

# Openings of this kind are short; anything longer starts a session.
_MAX_RESUME_CHARS = 4096
_MAX_NOTE_BYTES = 16 << 10
_FULL_BOX_BYTES = 4
# Reasons that another replica would give as well.
_FINAL_REASONS = frozenset(("unauthorized", "rate_limited", "prompt_blocked"))


class ServerNote(msgspec.Struct):
    """Keys of a server's message that concern a router."""

    type: str = ""
    session_id: str | None = None
    resume_token: str | None = None
    code: str | None = None
    reason: str | None = None

    @property
    def refuses(self) -> bool:
        """Whether this first message means that another replica should be asked."""
        return (
            self.type == "error"
            and self.code in ("session_rejected", "gpu_unavailable")
            and self.reason not in _FINAL_REASONS
        )


class _Opening(msgspec.Struct):
    type: str = ""
    resume_token: str | None = None
    last_sequence: int | None = None


@dataclass(frozen=True)
class ResumeOpening:
    """A client that goes on with a session."""

    token: str
    last_sequence: int


_server_note = msgspec.json.Decoder(ServerNote)
_opening = msgspec.json.Decoder(_Opening)


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
    try:
        opening = _opening.decode(frame)
    except msgspec.DecodeError:
        return None
    if opening.type != "session_resume" or opening.resume_token is None:
        return None
    return ResumeOpening(opening.resume_token, opening.last_sequence or 0)


def last_sequence(media: Buffer) -> int | None:
    """The number of the last fragment in a binary message; None for an init segment, and for what is no fragment."""
    try:
        fragments = [box for box in parse_boxes(media) if box.kind == b"moof"]
        if not fragments:
            return None
        (number,) = struct.unpack_from(">I", fragments[-1].child(b"mfhd").payload, _FULL_BOX_BYTES)
    except (BoxError, struct.error):
        return None
    return int(number)

"""The client's side of a stream without a socket: frames go in, typed events come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pydantic import BaseModel, ValidationError

from fastvideo.client.errors import ProtocolViolation
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    MediaInit,
    QueueStatus,
    ServerMessage,
    parse_server_text,
)


@dataclass(frozen=True, slots=True)
class UnknownMessage:
    """A message of a type that this client does not know; a newer server may send some, and they can be ignored."""

    text: str


@dataclass(frozen=True, slots=True)
class InitSegment:
    """`ftyp` and `moov`: what a player or a file needs before any fragment of the timeline."""

    segment_idx: int
    stream_id: str
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class MediaFragment:
    """One or more whole `moof` and `mdat` pairs."""

    segment_idx: int
    stream_id: str
    data: bytes


Media: TypeAlias = InitSegment | MediaFragment
Event: TypeAlias = ServerMessage | UnknownMessage | InitSegment | MediaFragment


class StreamProtocol:
    """Follows one connection. Remembers what a client asks about later: start, session, last error, ending."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.start: Ltx2StreamStart | None = None
        self.ending: Ltx2StreamComplete | None = None
        self.last_error: ErrorMessage | None = None
        self._media: MediaInit | None = None
        self._init_seen = False

    def receive_text(self, text: str) -> Event:
        """The message in a text frame; raises ProtocolViolation for one that is malformed."""
        try:
            message = parse_server_text(text)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] == "union_tag_invalid":
                return UnknownMessage(text)
            raise ProtocolViolation("expected a server message, got a text frame that is none") from error
        self._remember(message)
        return message

    def receive_bytes(self, data: bytes) -> Media:
        """The media in a binary frame; raises ProtocolViolation for one that nothing announced or of other boxes."""
        if self._media is None:
            raise ProtocolViolation("expected media_init before binary frames")
        kind = data[4:8]
        if not self._init_seen:
            if kind != b"ftyp":
                raise ProtocolViolation(f"expected an init segment (ftyp) after media_init, got {kind!r}")
            self._init_seen = True
            return InitSegment(self._media.segment_idx, self._media.stream_id, self._media.mime, data)
        if kind != b"moof":
            raise ProtocolViolation(f"expected a fragment (moof), got {kind!r}")
        return MediaFragment(self._media.segment_idx, self._media.stream_id, data)

    def _remember(self, message: BaseModel) -> None:
        match message:
            case QueueStatus(session_id=str(session_id)):
                self.session_id = session_id
            case Ltx2StreamStart():
                self.start = message
            case Ltx2StreamComplete():
                self.ending = message
            case ErrorMessage():
                self.last_error = message
            case MediaInit():
                # Holds until the next one: sound that the timeline still owes may follow the last segment's end.
                self._media, self._init_seen = message, False

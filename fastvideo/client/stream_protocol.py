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
    SessionResume,
    parse_server_text,
)
from fastvideo.media.boxes import BoxError
from fastvideo.media.movie_fragment import last_sequence


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
    """Follows a session over its connections. Remembers what a client asks about later: start, session, last error,
    ending, and where in the stream it stands. `farewell`: an error that nothing has followed yet."""

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.start: Ltx2StreamStart | None = None
        self.ending: Ltx2StreamComplete | None = None
        self.last_error: ErrorMessage | None = None
        self.farewell: ErrorMessage | None = None
        self.resume_token: str | None = None
        self.resume_grace_s = 0.0
        self._media: MediaInit | None = None
        self._init_seen = False
        self._last_sequence = 0
        self._frames_after = 0

    @property
    def last_sequence(self) -> int:
        """Number of the last fragment that arrived, 0 before the first."""
        return self._last_sequence

    def resumption(self) -> SessionResume | None:
        """What to say on a new connection when the old one broke, None where the server did not tell how."""
        if self.resume_token is None or self.resume_grace_s <= 0:
            return None
        return SessionResume(
            resume_token=self.resume_token, last_sequence=self._last_sequence, frames_after=self._frames_after
        )

    def receive_answer(self, text: str) -> Event:
        """The answer to :meth:`resumption`, which is no part of the stream. Raises ProtocolViolation."""
        return self._event(text)

    def receive_text(self, text: str) -> Event:
        """The message in a text frame; raises ProtocolViolation for one that is malformed."""
        self._frames_after += 1
        event = self._event(text)
        self.farewell = event if isinstance(event, ErrorMessage) else None
        return event

    def _event(self, text: str) -> Event:
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
        self._frames_after += 1
        self.farewell = None
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
        try:
            sequence = last_sequence(data)
        except BoxError:
            # Not numbered: a place in the stream is still the number of messages since the last one that is.
            sequence = None
        if sequence is not None:
            self._last_sequence, self._frames_after = sequence, 0
        return MediaFragment(self._media.segment_idx, self._media.stream_id, data)

    def _remember(self, message: BaseModel) -> None:
        match message:
            case QueueStatus(session_id=str(session_id)):
                self.session_id = session_id
                self.resume_token = message.resume_token
                self.resume_grace_s = message.resume_grace_seconds or 0.0
            case Ltx2StreamStart():
                self.start = message
            case Ltx2StreamComplete():
                self.ending = message
            case ErrorMessage():
                self.last_error = message
            case MediaInit():
                # Holds until the next one: sound that the timeline still owes may follow the last segment's end.
                self._media, self._init_seen = message, False

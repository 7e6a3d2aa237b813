"""What a client has of a session's framing, so that a replica that begins in the middle does not repeat it."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

from fastvideo.entrypoints.streaming.router.frames import TEXT, Message
from fastvideo.entrypoints.streaming.router.wire_notes import read_server_note

_HEAD_BYTES = 64
# ltx2_stream_start and ltx2_segment_start, and media_init.
_FRAMING = (b'_start"', b'"media_init"')


class Seam:
    """Sees every message on its way to the client. Until :meth:`cut`, all of them pass.

    A replica that goes on with a session from its stores repeats how the session and the segment began. What the client
    has of that is left out: its ``ltx2_stream_start``, the segment's start and steps, and its init segment if that is
    the same to the byte.
    """

    def __init__(self) -> None:
        self._repeats = False
        self._started = False
        self._segment: int | None = None
        self._media = False
        self._init: bytes | None = None
        self._held: bytes | None = None

    def cut(self) -> None:
        """From here on messages come from another connection."""
        self._repeats = self._started
        self._held = None

    def pass_on(self, message: Message, sequence: int | None) -> tuple[Message, ...]:
        """What the client gets for this message, whose last fragment has this number."""
        return self._text(message) if message.opcode == TEXT else self._binary(message, sequence)

    def _text(self, message: Message) -> tuple[Message, ...]:
        head = message.head(_HEAD_BYTES)
        if not self._repeats and not any(kind in head for kind in _FRAMING):
            return (message,)
        note = read_server_note(message)
        again = self._repeats and note.segment_idx is not None and note.segment_idx == self._segment
        match note.type:
            case "gpu_assigned" if self._repeats:
                return ()
            case "ltx2_stream_start":
                self._started, again = True, self._started
                return () if again and self._repeats else (message,)
            case "ltx2_segment_start":
                if not again:
                    self._segment, self._media = note.segment_idx, False
                return () if again else (message,)
            case "step_complete" if again and self._media:
                return ()
            case "media_init":
                if again and self._media:
                    # It announces an init segment, which may be another one.
                    self._held = message.payload()
                    return ()
                self._media = True
        return (message,)

    def _binary(self, message: Message, sequence: int | None) -> tuple[Message, ...]:
        if sequence is not None:
            # The join is behind.
            self._repeats = False
            return (message,)
        held, self._held = self._held, None
        init = message.payload()
        same, self._init = init == self._init, init
        if held is None:
            return (message,)
        return () if same else (_text_message(held), message)


def _text_message(data: bytes) -> Message:
    return Message(TEXT, (memoryview(Frame(Opcode.TEXT, data).serialize(mask=False)),), (memoryview(data),))

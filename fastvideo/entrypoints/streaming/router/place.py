"""Where a client stands in its session's stream, and what it said that may be lost with the replica."""

from __future__ import annotations

import json
from collections import OrderedDict

from fastvideo.entrypoints.streaming.router.frames import BINARY, Message
from fastvideo.entrypoints.streaming.router.wire_notes import ResumeOpening, last_sequence, read_prompt_id

# As many prompts as a server knows again when they are repeated.
MAX_PROMPTS = 64


class StreamPlace:
    """Counts as a client does that wants to come back; None as ``token`` is a session that cannot be gone on with.

    ``client``: how the client itself came back, if it did; the answer to that is not counted.
    """

    def __init__(self, client: ResumeOpening | None = None) -> None:
        self.token: str | None = None
        self._last_sequence = client.last_sequence if client is not None else 0
        self._frames_after = client.frames_after if client is not None else 0
        self._answered = client is None

    def passed(self, message: Message) -> int | None:
        """The replica sent this message on. Returns the number of the last fragment in it, if there is one."""
        if not self._answered:
            self._answered = True
            return None
        self._frames_after += 1
        sequence = None
        if message.opcode == BINARY:
            sequence = last_sequence(message.parts[0] if len(message.parts) == 1 else message.payload())
            if sequence is not None:
                self._last_sequence, self._frames_after = sequence, 0
        return sequence

    def resumption(self) -> str | None:
        """The opening message of a connection that goes on from here."""
        if self.token is None:
            return None
        return json.dumps(
            {
                "type": "session_resume",
                "resume_token": self.token,
                "last_sequence": self._last_sequence,
                "frames_after": self._frames_after,
            }
        )


class OpenPrompts:
    """Prompts with a ``request_id`` of which no ``prompt_status`` says that they are used or refused: until then they
    may be lost with their server. A server that gets one twice hears one.
    """

    def __init__(self) -> None:
        self._frames: OrderedDict[str, str] = OrderedDict()

    def said(self, frame: str | bytes) -> None:
        """The client said something."""
        request_id = read_prompt_id(frame)
        if request_id is not None and isinstance(frame, str):
            self._frames[request_id] = frame
            while len(self._frames) > MAX_PROMPTS:
                self._frames.popitem(last=False)

    def settled(self, request_id: str) -> None:
        """A segment uses a prompt, or it was refused."""
        self._frames.pop(request_id, None)

    def frames(self) -> list[str]:
        """Those that may be lost, in order."""
        return list(self._frames.values())

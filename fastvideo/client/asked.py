"""What was asked of a stream and has not come yet."""

from __future__ import annotations

from fastvideo.client.stream_protocol import Event
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    PromptStatus,
    SegmentCancelled,
)


class Asked:
    """Follows prompts from when they are sent until their segments are whole."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._making = False

    @property
    def nothing_left(self) -> bool:
        """Whether every segment that was asked for has come, or will not."""
        return not self._waiting and not self._making

    def prompt(self, request_id: str) -> None:
        """A prompt is about to be sent."""
        self._waiting.add(request_id)

    def receive(self, event: Event) -> None:
        """Something came."""
        match event:
            case PromptStatus(request_id=request_id, status="applied") if request_id in self._waiting:
                self._waiting.discard(request_id)
                self._making = True
            case PromptStatus(request_id=request_id, status="rejected"):
                self._waiting.discard(request_id)
            case Ltx2SegmentStart():
                self._making = True
            case Ltx2SegmentComplete() | SegmentCancelled():
                self._making = False
            case ErrorMessage() if event.code != "invalid_message" or event.reason == "prompt_blocked":
                # The segment is given up; the session may go on.
                self._making = False

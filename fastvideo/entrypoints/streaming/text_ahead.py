"""What comes after a session's running segment, told to the worker that makes it, so that it encodes the text."""

from __future__ import annotations

from fastvideo.api.errors import FastVideoError
from fastvideo.entrypoints.streaming.director import Prompt
from fastvideo.entrypoints.streaming.pool_base import GpuPool
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.prompt_work import PromptWork
from fastvideo.entrypoints.streaming.segment_requests import SegmentRequests
from fastvideo.entrypoints.streaming.session import Session


class TextAhead:
    """Tells each prompt once per segment, as soon as its final words are known; the newest one counts.

    It is heard only between :meth:`begin` and :meth:`end`, and a worker that does not listen is nobody's loss: the next
    segment's text is then encoded when that segment begins.
    """

    def __init__(
        self, prompts: PromptWork, pool: GpuPool, session: Session, requests: SegmentRequests, gate: PromptGate
    ) -> None:
        self._prompts = prompts
        self._pool = pool
        self._session = session
        self._requests = requests
        self._gate = gate
        self._running = False
        self._told: Prompt | None = None

    def begin(self) -> None:
        """A worker has begun with the session's segment, perhaps again."""
        self._running, self._told = True, None
        self.look()

    def look(self) -> None:
        """Tell what is known now, if it was not told yet."""
        prompt = self._prompts.next_words if self._running else None
        if prompt is None or prompt == self._told:
            return
        self._told = prompt
        try:
            request = self._requests.build(prompt, segment_idx=self._session.segment_idx + 1)
            self._gate.check_request(request)
            self._pool.encode_ahead(self._session.id, request)
        except FastVideoError:
            # Its own segment says so, to whoever asked for it.
            return

    def end(self) -> None:
        """No worker makes a segment of the session."""
        self._running = False

"""The spans of one segment: from its prompt to the last byte at the socket."""

from __future__ import annotations

import time
from collections.abc import Mapping

from fastvideo.entrypoints.streaming.prompt_work import Words
from fastvideo.entrypoints.streaming.segment_events import SegmentDone
from fastvideo.entrypoints.streaming.tracing import Span

# One after the other in a worker.
_IN_TURN = ("text", "denoise", "refine")
# By turns, piece by piece, after those.
_BY_TURNS = ("decode", "encode")


class SegmentTrace:
    """Tells where a segment is, in this order; a segment that is suspended waits and is made again.

    ``source``: whose prompt it is. Spans are named ``segment``, and in it ``prompt``, ``queue``, ``worker`` (with a
    child for each of its stages) and ``send``.
    """

    def __init__(self, session: Span, segment_idx: int, source: str) -> None:
        attributes: dict[str, str | int] = {"fastvideo.segment.index": segment_idx, "fastvideo.prompt.source": source}
        self._segment = session.child("segment", attributes)
        self._part = self._segment.child("prompt")
        self._began_ns = 0
        self._sending: Span | None = None

    def worded(self, words: Words) -> None:
        """The prompt has its final words."""
        if (asked := words.enhancement) is not None:
            outcome = "enhanced" if asked.applied else asked.reason or "unchanged"
            self._part.tell({"fastvideo.prompt.operation": asked.operation, "fastvideo.prompt.outcome": outcome})
        self._part.end()
        self._segment.tell({"fastvideo.prompt.source": words.prompt.source})

    def waits(self) -> None:
        """A worker is wanted."""
        self._part = self._segment.child("queue")

    def begins(self) -> None:
        """A worker is at it."""
        self._part.end()
        self._began_ns = time.time_ns()
        self._part = self._segment.child("worker", begin_ns=self._began_ns)

    def leaves_worker(self) -> None:
        """The worker made it, or gave it up."""
        self._part.end()

    def made(self, done: SegmentDone) -> None:
        """The worker has told how long its stages took."""
        self._part.tell({"fastvideo.worker.generation_ms": done.generation_ms, "fastvideo.segment.frames": done.frames})
        for name, begin_ns, end_ns in stage_times(done.timings_ms, self._began_ns):
            self._part.child(name, begin_ns=begin_ns).end(end_ns)
        self._part.end()

    def sends(self) -> None:
        """The first media goes out."""
        if self._sending is None:
            self._sending = self._segment.child("send")

    def sent(self, fragments: int, media_bytes: int) -> None:
        """All of it is at the socket."""
        if self._sending is not None:
            self._sending.tell({"fastvideo.send.fragments": fragments, "fastvideo.send.bytes": media_bytes})
            self._sending.end()

    def end(self, outcome: str, error_code: str | None = None) -> None:
        """What became of it, with the code of the error that it failed with; nothing of it goes on."""
        if self._sending is not None:
            self._sending.end()
        self._part.end()
        self._segment.tell({"fastvideo.segment.outcome": outcome})
        if error_code is not None:
            self._segment.fail(error_code)
        self._segment.end()


def stage_times(timings_ms: Mapping[str, float], began_ns: int) -> list[tuple[str, int, int]]:
    """Name, begin and end of each stage, in nanoseconds, of a worker that began then.

    Decoding and encoding take turns: each is told in one piece, as long as its pieces together, from the moment at
    which the first begins.
    """
    at_ns, found = began_ns, []
    for name in _IN_TURN:
        if name in timings_ms:
            end_ns = at_ns + round(timings_ms[name] * 1e6)
            found.append((name, at_ns, end_ns))
            at_ns = end_ns
    found += [(name, at_ns, at_ns + round(timings_ms[name] * 1e6)) for name in _BY_TURNS if name in timings_ms]
    return found

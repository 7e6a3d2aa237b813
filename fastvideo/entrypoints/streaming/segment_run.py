"""One segment of a session: asked for, streamed to the client as it is made, its state stored, then announced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import FastVideoError, GenerationCancelled, GenerationFailed
from fastvideo.entrypoints.streaming.client_commands import tell_prompt
from fastvideo.entrypoints.streaming.director import Director, Prompt, Start
from fastvideo.entrypoints.streaming.prompt_work import PromptWork, Words
from fastvideo.entrypoints.streaming.protocol import DeadlineMissed
from fastvideo.entrypoints.streaming.replay import Replay
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentEvent,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.segment_messages import SegmentMessages
from fastvideo.entrypoints.streaming.segment_trace import SegmentTrace
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper
from fastvideo.entrypoints.streaming.text_ahead import TextAhead
from fastvideo.media.timeline import MediaCursor

_LATE_MS = 1.0


class SegmentRun:
    """Makes one segment; :attr:`cursor` says where the timeline goes on afterwards, whatever happened. ``seen``: the
    number of the last fragment that the client has, of a segment that began elsewhere."""

    def __init__(
        self,
        start: Start,
        session: Session,
        server: ServerState,
        *,
        director: Director,
        prompts: PromptWork,
        ahead: TextAhead | None,
        post: SessionPost,
        states: StateKeeper,
        stream_id: str,
        cursor: MediaCursor,
        trace: SegmentTrace,
        seen: int = 0,
    ) -> None:
        self._start = start
        self._session = session
        self._server = server
        self._viewer = director.viewer
        self._prompts = prompts
        self._ahead = ahead
        self._post = post
        self._states = states
        self._stream_id = stream_id
        self._trace = trace
        self._messages = SegmentMessages(session.segment_idx, Words(start.prompt), stream_id)
        self._cancel = CancellationToken()
        self._task: asyncio.Task[None] | None = None
        self._replay = Replay()
        if seen >= cursor.sequence:
            self._replay.go_on_after(seen)
        self._cancel_wanted = False
        self._suspended = False
        self._go_on = asyncio.Event()
        self._asked_s = self._worded_s = server.clock()
        # Only a viewer who has something to play can be kept waiting.
        self._viewer_plays = self._viewer.ahead_ms(self._asked_s) > 0
        self._reader: asyncio.Task[None] | None = None
        self._posting = False
        self.cursor = cursor

    def cancel(self) -> None:
        """Stop: at once while nothing of the segment was sent, else within one step, so that the timeline goes on."""
        self._cancel_wanted = True
        if not self._replay.behind:
            self._cancel.cancel()
        if self._task is not None and not self._messages.media_started:
            self._task.cancel()

    def suspend(self) -> None:
        """Give the worker up; the segment is made again, and seen once, after :meth:`go_on`."""
        if self._reader is not None and not self._suspended:
            self._suspended = True
            self._go_on.clear()
            self._cancel.cancel()
            if not self._posting:
                # Else it ends once what it has in hand is posted, so that nothing is lost.
                self._reader.cancel()

    @property
    def generating(self) -> bool:
        """Whether a worker is at it."""
        return self._reader is not None

    def go_on(self) -> None:
        """Make what :meth:`suspend` broke off."""
        self._go_on.set()

    async def run(
        self, bind: Callable[[], Awaitable[None]], make_job: Callable[[Prompt], Awaitable[SegmentJob]]
    ) -> None:
        """``bind`` gets a worker, ``make_job`` says what to make there of the prompt's final words.

        Raises GenerationCancelled after :meth:`cancel`, PromptPostponed and PromptBlocked while nothing was made,
        TimelineBroken when no segment can follow, and whatever else went wrong on purpose.
        """
        task = self._task = asyncio.create_task(self._make(bind, make_job))
        try:
            await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise GenerationCancelled("the client cancelled the segment") from None
        except FastVideoError:
            if not self._messages.timeline_known:
                raise TimelineBroken("the segment broke off; the stream cannot go on") from None
            raise
        finally:
            self._task = None

    async def _make(
        self, bind: Callable[[], Awaitable[None]], make_job: Callable[[Prompt], Awaitable[SegmentJob]]
    ) -> None:
        words = await self._worded()
        while True:
            self._trace.waits()
            job = await make_job(words.prompt)
            # Nothing is awaited between having a worker and using it, so that it cannot be given away as idle.
            await bind()
            await self._stream(job)
            if not self._suspended:
                break
            await self._go_on.wait()
            # The same job gives the same bytes; what was sent of them, or will be, is known.
            self._suspended, self._cancel = False, CancellationToken()
            self._replay.begin_again()
            if self._cancel_wanted and not self._replay.behind:
                raise GenerationCancelled("the client cancelled the segment")
        done = self._messages.done
        if done is None:
            raise GenerationFailed("the pool ended a segment without its result")
        await self._states.replace(done.state)
        await self._post.drained()
        self._trace.sent(self._messages.chunks, self._messages.media_bytes)
        seconds = self._server.clock() - self._asked_s
        complete = self._messages.complete(seconds * 1000.0)
        self._server.metrics.segment_seconds.observe(seconds)
        for stage, stage_ms in self._messages.stages_ms.items():
            self._server.metrics.stage_seconds.labels(stage).observe(stage_ms / 1000.0)
        self._post.log("segment_complete", **complete.model_dump(exclude={"type"}, exclude_none=True))
        await self._post.put(complete)

    async def _worded(self) -> Words:
        words = Words(self._start.prompt) if self._start.again else await self._prompts.words(self._start.prompt)
        self._worded_s = self._server.clock()
        self._trace.worded(words)
        self._messages = SegmentMessages(self._session.segment_idx, words, self._stream_id)
        done = words.enhancement
        if done is not None:
            outcome = "enhanced" if done.applied else done.reason
            self._server.metrics.enhancements.labels(done.operation, outcome).inc()
            # The words themselves are in the segment's own line.
            said = done.model_dump(exclude={"original"}, exclude_none=True)
            self._post.log(
                "prompt_enhanced" if done.applied else "prompt_unchanged",
                segment_idx=self._session.segment_idx,
                waited_ms=words.waited_ms,
                **said,
                **({} if words.detail is None else {"detail": words.detail}),
            )
        return words

    async def _stream(self, job: SegmentJob) -> None:
        """Post what is new of the job's events, until it is whole or suspended."""
        reader = self._reader = asyncio.create_task(self._read(job))
        try:
            await reader
        except (asyncio.CancelledError, GenerationCancelled):
            current = asyncio.current_task()
            if not self._suspended or (current is not None and current.cancelling()):
                raise
        finally:
            self._reader = None
            self._trace.leaves_worker()
            if self._ahead is not None:
                self._ahead.end()
            if self._messages.done is not None:
                # It was whole before it heeded.
                self._suspended = False

    async def _read(self, job: SegmentJob) -> None:
        stream = self._server.pool.stream(self._session.id, job, cancel=self._cancel)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                if isinstance(event, SegmentStarted):
                    self._trace.begins()
                    if self._ahead is not None:
                        self._ahead.begin()
                if not self._replay.new(event):
                    continue
                if self._cancel_wanted:
                    # Now that the timeline is where the client is, it can be cut.
                    self._cancel.cancel()
                self._posting = True
                try:
                    self._session.touch(now=self._server.clock())
                    await self._note(event)
                    for item in self._messages.of(event):
                        await self._post.put(item)
                finally:
                    self._posting = False
                if self._suspended:
                    return

    async def _note(self, event: SegmentEvent) -> None:
        now_s = self._server.clock()
        prompt = self._start.prompt
        match event:
            case SegmentStarted():
                words = self._messages.words.prompt
                self._post.log(
                    "segment_start", segment_idx=self._session.segment_idx, prompt=words.text, source=words.source
                )
                await tell_prompt(self._post, prompt, "applied")
            case SegmentInit():
                self._trace.sends()
                self._server.metrics.first_fragment_seconds.observe(now_s - self._asked_s)
                self._prompts.first_fragment(now_s - self._worded_s)
                late_ms = self._viewer.dry_ms(now_s)
                due = self._viewer_plays and self._viewer.reports and prompt.automatic
                if due and late_ms > _LATE_MS:
                    self._server.metrics.deadline_misses.inc()
                    await self._post.put(DeadlineMissed(late_ms=round(late_ms, 3)))
            case SegmentFragment():
                self._viewer.sent(event.pts_ms + event.duration_ms, now_s)
            case SegmentCut():
                self.cursor = event.cursor
            case SegmentDone():
                self.cursor = event.cursor
                self._trace.made(event)

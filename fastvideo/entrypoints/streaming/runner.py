"""One session from its opening message to its close: a receiver, a driver and a sender, and nothing that outlives them.

The receiver always reads and never waits for a generation. The driver asks the director what comes next and has the
pool make it. The sender alone writes to the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Coroutine
from typing import Any

from fastvideo.api.errors import FastVideoError, GenerationCancelled
from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.admission import ADMITTED, Place, QueueFull
from fastvideo.entrypoints.streaming.ask_budget import AskBudget
from fastvideo.entrypoints.streaming.client_commands import ClientCommands, tell_prompt
from fastvideo.entrypoints.streaming.connection import Connection, ConnectionLost
from fastvideo.entrypoints.streaming.director import End, Prompt, Start, Wait
from fastvideo.entrypoints.streaming.endings import Ending, SessionOver
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.opening import (
    Opening,
    OpeningRefused,
    discard_image,
    limits_on_the_wire,
    open_session,
    parse_opening,
)
from fastvideo.entrypoints.streaming.pool_base import PoolAcquireTimeout, PoolUnavailable
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked
from fastvideo.entrypoints.streaming.prompt_work import PromptPostponed, PromptWork
from fastvideo.entrypoints.streaming.protocol import (
    GenerationBlocked,
    GenerationResumed,
    GpuAssigned,
    Ltx2SegmentStart,
    Ltx2StreamStart,
    QueueStatus,
    SegmentCancelled,
    ServerMessage,
)
from fastvideo.entrypoints.streaming.seed_rewrites import SeedRewrites
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import SegmentJob
from fastvideo.entrypoints.streaming.segment_run import SegmentRun
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session, SessionState
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper
from fastvideo.media.encoder import flush_stream
from fastvideo.media.timeline import MediaCursor

logger = logging.getLogger(__name__)

OPENING_TIMEOUT_S = 60.0
FAREWELL_S = 5.0


class SessionRunner:
    """Runs one session over one connection; :meth:`run` returns when both are over."""

    def __init__(self, connection: Connection, session: Session, server: ServerState) -> None:
        loop = asyncio.get_running_loop()
        self._connection = connection
        self._session = session
        self._server = server
        self._clock = server.clock
        self._post = _Post(session.id, server)
        self._states = StateKeeper(session, server.session_store, server.blob_store, server.store_calls)
        self._stream_id = uuid.uuid4().hex
        self._cursor = MediaCursor.start()
        self._ending: asyncio.Future[Ending] = loop.create_future()
        self._opening_frame: asyncio.Future[str | bytes] = loop.create_future()
        self._opening: Opening | None = None
        self._prompts: PromptWork | None = None
        self._rewrites: SeedRewrites | None = None
        self._placed = asyncio.Event()
        self._changed = asyncio.Event()
        self._busy = False
        self._segment: SegmentRun | None = None

    # --- life

    async def run(self) -> None:
        """Serve the session. Whatever it holds is free when this returns, however it ends."""
        self._server.runners[self._session.id] = self
        started_s = self._clock()
        reason = "cancelled"
        self._post.log("session_start")
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._guard(self._post.deliver(self._connection)))
                receiver = group.create_task(self._guard(self._receive()))
                driver = group.create_task(self._guard(self._drive()))
                ending = await self._ending
                reason = ending.name
                await _stopped(receiver, driver)
                await self._release(ending.state)
                await self._say_goodbye(ending, sender)
        finally:
            try:
                await self._release(SessionState.ERROR)
            finally:
                # After the goodbye, which a store that does not answer should not hold up.
                await self._states.close()
            seconds = round(self._clock() - started_s, 3)
            self._post.end_recording(reason)
            self._post.log("session_end", reason=reason, segments=self._session.segment_idx, seconds=seconds)
            self._server.log.close(self._session.id, wait=False)
            self._server.metrics.ended.labels(reason).inc()

    def drain(self) -> None:
        # A segment that only waits for its turn would keep those that run from ending in time.
        if not self._post.in_segment:
            self.shut_down()

    def shut_down(self) -> None:
        self._end(endings.shut_down())

    def expire(self) -> None:
        if self._busy:
            # Waiting for a worker, or for a segment, is not the client's silence.
            self._session.touch(now=self._clock())
        else:
            self._end(endings.timed_out(self._server.sessions.session_timeout_seconds, "client_message"))

    def _end(self, ending: Ending) -> None:
        # The first reason is the true one.
        if not self._ending.done():
            self._ending.set_result(ending)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """A task's boundary: whatever stops one of the three tasks ends the session."""
        try:
            await work
        except SessionOver as over:
            self._end(over.ending)
        except ConnectionLost:
            self._end(endings.client_left())
        except Exception:
            logger.exception("session %s failed", self._session.id)
            self._end(endings.failed())

    async def _release(self, state: SessionState) -> None:
        """Free the worker and the session's place; twice is the same as once."""
        session, server = self._session, self._server
        if server.runners.pop(session.id, None) is None:
            return
        session.transition(state if session.can_become(state) else SessionState.ERROR, now=self._clock())
        server.sessions.close(session.id)
        try:
            await server.pool.release(session.id)
        finally:
            if self._opening is not None:
                discard_image(self._opening.image)
            for work in (self._prompts, self._rewrites):
                if work is not None:
                    await work.close()

    async def _say_goodbye(self, ending: Ending, sender: asyncio.Task[None]) -> None:
        if ending.lost:
            await _stopped(sender)
            return
        if ending.discard:
            self._post.discard()
        if ending.flush and not self._post.in_segment:
            fragments, self._cursor = await asyncio.to_thread(flush_stream, self._cursor)
            for fragment in fragments:
                self._post.put_now(fragment.data)
        for message in ending.messages:
            self._post.put_now(message)
        self._post.close()
        try:
            async with asyncio.timeout(FAREWELL_S):
                if sender.done():
                    # It gave up on a slow client, who may still take these few bytes.
                    await self._post.deliver(self._connection)
                else:
                    await sender
                await self._connection.close(ending.code, ending.close_reason)
        except (TimeoutError, ConnectionLost, SessionOver):
            logger.info("session %s: the client did not take its last messages", self._session.id)

    # --- receiver

    async def _receive(self) -> None:
        self._opening_frame.set_result(await self._connection.receive())
        # The handshake's first answer comes before any other.
        await self._placed.wait()
        assert self._opening is not None
        assert self._prompts is not None
        assert self._rewrites is not None
        commands = ClientCommands(
            self._opening,
            self._session,
            post=self._post,
            states=self._states,
            gate=self._server.prompts,
            rewrites=self._rewrites,
            cancel_segment=self._cancel_segment,
            clock=self._clock,
        )
        while True:
            await commands.answer(await self._connection.receive())
            self._prompts.look_ahead()
            self._changed.set()

    def _cancel_segment(self) -> None:
        if self._segment is not None:
            self._segment.cancel()

    # --- driver

    async def _drive(self) -> None:
        opening, prompts = await self._open()
        await self._bind()
        sampling = opening.requests.sampling
        if opening.message.record:
            await self._post.begin_recording(self._server.recordings, self._server.pool.model_id or "")
        await self._post.put(
            Ltx2StreamStart(
                preset=opening.message.preset,
                width=sampling.width,
                height=sampling.height,
                fps=sampling.fps,
                num_frames=sampling.num_frames,
                limits=limits_on_the_wire(self._server.streaming.limits),
            )
        )
        while True:
            self._changed.clear()
            prompts.look_ahead()
            match opening.director.decide(self._clock()):
                case End() as end:
                    raise SessionOver(endings.completed(end.reason))
                case _ if self._server.draining:
                    raise SessionOver(endings.shut_down())
                case Start() as start:
                    if start.resumed:
                        await self._post.put(GenerationResumed())
                    await self._make_segment(start, opening, prompts)
                case Wait() as wait:
                    if wait.blocked is not None:
                        await self._post.put(GenerationBlocked(reason=wait.blocked))
                    await self._wait_for_change(wait.until_s)

    async def _open(self) -> tuple[Opening, PromptWork]:
        limit_s = min(OPENING_TIMEOUT_S, self._server.sessions.session_timeout_seconds)
        try:
            async with asyncio.timeout(limit_s):
                frame = await asyncio.shield(self._opening_frame)
        except TimeoutError:
            raise SessionOver(endings.timed_out(int(limit_s), "opening_message")) from None
        try:
            message = parse_opening(frame)
            opening = await open_session(
                message, self._server.serve_config, self._server.session_presets, self._server.pool.request_defaults
            )
        except OpeningRefused as refusal:
            raise SessionOver(endings.refused(refusal.message, refusal.close_reason)) from None
        self._opening = opening
        session = self._session
        session.client_id, session.preset = message.client_id, message.preset
        session.preset_label = message.preset_label
        session.curated_prompts = list(message.curated_prompts)
        session.enhancement_enabled = message.enhancement_enabled
        session.auto_extension_enabled = message.auto_extension_enabled
        session.loop_generation_enabled = message.loop_generation_enabled
        session.single_clip_mode = message.single_clip_mode
        session.metadata = dict(message.model_extra or {})
        session.touch(now=self._clock())
        gate, director = self._server.prompts, opening.director
        limits = self._server.streaming.limits
        budget = AskBudget(limits.max_model_requests_per_minute)
        prompts = self._prompts = PromptWork(gate, session, director, budget, clock=self._clock)
        self._rewrites = SeedRewrites(gate, director, limits, budget, post=self._post, clock=self._clock)
        await self._states.replace(opening.state)
        return opening, prompts

    async def _bind(self) -> None:
        """Get a worker, or wait for one; a session that yielded its place while idle comes here again."""
        self._busy = True
        session, server = self._session, self._server
        timeout_s = server.sessions.session_timeout_seconds
        try:
            assignment = await server.pool.join(session.id, timeout=timeout_s, on_place=self._tell_place)
        except (PoolAcquireTimeout, PoolUnavailable, QueueFull) as error:
            raise SessionOver(endings.no_worker(error_message(error))) from None
        finally:
            self._busy = self._segment is not None
        if session.is_active():
            return
        session.transition(SessionState.GPU_BINDING, now=self._clock())
        session.gpu_id = assignment.gpu_id
        self._post.log("gpu_assigned", gpu_id=assignment.gpu_id, worker_id=assignment.worker_id)
        await self._post.put(
            GpuAssigned(gpu_id=assignment.gpu_id, session_timeout=timeout_s, model_id=server.pool.model_id)
        )
        session.transition(SessionState.ACTIVE, now=self._clock())

    def _tell_place(self, place: Place) -> None:
        first = not self._placed.is_set()
        if first:
            self._session.transition(SessionState.QUEUED, now=self._clock())
            self._placed.set()
        elif place == ADMITTED:
            return
        self._post.put_now(
            QueueStatus(
                position=place.position,
                queue_depth=place.queue_depth,
                eta_ms=place.eta_ms,
                session_id=self._session.id if first else None,
            )
        )

    async def _wait_for_change(self, until_s: float | None) -> None:
        delay_s = None if until_s is None else max(0.0, until_s - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._changed.wait()

    async def _make_segment(self, start: Start, opening: Opening, prompts: PromptWork) -> None:
        director, session, outcomes = opening.director, self._session, self._server.metrics.segments
        segment = self._segment = SegmentRun(
            start,
            session,
            self._server,
            director=director,
            prompts=prompts,
            post=self._post,
            states=self._states,
            stream_id=self._stream_id,
            cursor=self._cursor,
        )
        self._busy = True
        try:
            await segment.run(self._bind, lambda prompt: self._job(start, prompt, opening))
        except GenerationCancelled:
            director.cancelled()
            outcomes.labels("cancelled").inc()
            self._post.log("segment_cancelled", segment_idx=session.segment_idx)
            await self._post.put(SegmentCancelled(segment_idx=session.segment_idx))
        except PromptPostponed:
            director.postponed()
        except PromptBlocked as error:
            director.blocked()
            outcomes.labels("blocked").inc()
            self._post.log("prompt_blocked", segment_idx=session.segment_idx, source=start.prompt.source)
            await self._post.put(error_message(error))
            await tell_prompt(self._post, start.prompt, "rejected", error.reason)
        except ReaderTooSlow as error:
            raise SessionOver(endings.too_slow(error_message(error))) from None
        except FastVideoError as error:
            outcomes.labels("failed").inc()
            if isinstance(error, TimelineBroken):
                raise SessionOver(endings.timeline_broken(error_message(error))) from None
            director.failed()
            await self._post.put(error_message(error))
        else:
            director.completed()
            session.segment_idx += 1
            outcomes.labels("complete").inc()
        finally:
            self._cursor = segment.cursor
            self._segment = None
            self._busy = False
            session.touch(now=self._clock())
        self._post.in_segment = False

    async def _job(self, start: Start, prompt: Prompt, opening: Opening) -> SegmentJob:
        index, streaming = self._session.segment_idx, self._server.streaming
        image = opening.image if index == 0 else None
        request = opening.requests.build(
            prompt,
            segment_idx=index,
            state=await self._states.whole() if start.continues else None,
            image_path=image.path if image is not None else None,
        )
        self._server.prompts.check_request(request)
        return SegmentJob(request, self._cursor, index, streaming.encoder, streaming.burn_in_timecode)


class _Post(SessionPost):
    """``in_segment``: the client was told that a segment begins, and not yet how it ended."""

    in_segment = False

    async def put(self, item: ServerMessage | bytes) -> None:
        if isinstance(item, Ltx2SegmentStart):
            self.in_segment = True
        await super().put(item)


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

"""One session from its opening message to its end: a driver, and for each of its connections a receiver and a sender.

The receiver always reads and never waits for a generation. The driver asks the director what comes next and has the
pool make it. The sender alone writes to the socket. Nothing outlives the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable

from fastvideo.api.errors import FastVideoError, GenerationCancelled, QuotaExceeded
from fastvideo.entrypoints.access.caller import NOBODY
from fastvideo.entrypoints.access.quotas import Allowance
from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.admission import ADMITTED, Place, QueueFull
from fastvideo.entrypoints.streaming.ask_budget import AskBudget
from fastvideo.entrypoints.streaming.client_commands import ClientCommands, tell_prompt
from fastvideo.entrypoints.streaming.connection import Connection
from fastvideo.entrypoints.streaming.director import Director, End, Prompt, Start, Wait
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
    SessionInitV2,
    SessionResume,
)
from fastvideo.entrypoints.streaming.resume_token import digest, new_token
from fastvideo.entrypoints.streaming.seed_rewrites import SeedRewrites
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import SegmentJob
from fastvideo.entrypoints.streaming.segment_run import SegmentRun
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session, SessionState
from fastvideo.entrypoints.streaming.session_keeping import SessionKeeping
from fastvideo.entrypoints.streaming.session_lease import LeaseLost
from fastvideo.entrypoints.streaming.session_link import SessionLink
from fastvideo.entrypoints.streaming.session_links import SessionLinks, guard
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.session_record import Returned, SessionRecord
from fastvideo.media.encoder import flush_stream
from fastvideo.media.timeline import MediaCursor

logger = logging.getLogger(__name__)

OPENING_TIMEOUT_S = 60.0
FAREWELL_S = 5.0


class SessionRunner:
    """Runs one session, from its first connection on; :meth:`run` returns when the session is over.

    A connection that breaks is waited for, for ``streaming.resume.grace_seconds``: a client that comes back
    (:meth:`resume`) gets what it does not have yet. ``returned``: the session goes on from its record, for a client
    that stands there. ``allowance``: what the client may use, which counts until the session is over.
    ``handed_over``: what the first connection asked for instead of a session of its own.
    """

    def __init__(
        self,
        connection: Connection,
        session: Session,
        server: ServerState,
        returned: Returned | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._session = session
        self._server = server
        self._clock = server.clock
        self._allowance = allowance or server.quotas.admit(NOBODY, self._clock())
        self.caller = self._allowance.caller
        self._post = _Post(session.id, server)
        self._returned = returned
        self._keeping = SessionKeeping(session, server)
        self._states = self._keeping.states
        self._stream_id = uuid.uuid4().hex if returned is None else returned.record.stream_id
        self._cursor = MediaCursor.start() if returned is None else returned.record.cursor
        self._ending: asyncio.Future[Ending] = loop.create_future()
        self._opening_frame: asyncio.Future[str | bytes] = loop.create_future()
        self._opening: Opening | None = None
        self._prompts: PromptWork | None = None
        self._rewrites: SeedRewrites | None = None
        self._commands: ClientCommands | None = None
        self._place = ADMITTED
        self._placed = asyncio.Event()
        self._changed = asyncio.Event()
        self._busy = False
        self._binding = False
        self._released = False
        self._has_place = False
        self._giving = asyncio.Lock()
        self._segment: SegmentRun | None = None
        self._token = new_token(session.id) if returned is None else returned.message.resume_token
        self.resume_digest = digest(self._token)
        self.handed_over: SessionResume | None = None
        self._group = asyncio.TaskGroup()
        self._links = SessionLinks(
            connection,
            session,
            server,
            post=self._post,
            group=self._group,
            receive=self._receive,
            end=self._end,
            make_way=self._make_way,
        )

    @property
    def owner(self) -> str | None:
        """The name of the API key that the session was opened with."""
        return self.caller.key

    # --- life

    async def run(self) -> None:
        """Serve the session. Whatever it holds is free when this returns, however it ends."""
        self._server.runners[self._session.id] = self
        started_s = self._clock()
        reason, keeps = "cancelled", True
        self._post.log("session_start" if self._returned is None else "session_continued")
        try:
            async with self._group as group:
                self._links.open(None if self._returned is None else self._greeting(self._place))
                driver = group.create_task(guard(self._drive, self._session.id, self._end))
                ending = await self._ending
                reason, keeps = ending.name, ending.keeps
                await self._links.current.hush()
                await _stopped(driver)
                await self._release(ending.state)
                await self._say_goodbye(ending)
                self._links.close()
                await self._links.current.stop()
        finally:
            self._links.close()
            try:
                await self._release(SessionState.ERROR)
            finally:
                # After the goodbye, which a store that does not answer should not hold up.
                await self._keeping.leave(keep=keeps)
            self._allowance.close()
            self._server.runners.pop(self._session.id, None)
            if reason == "client_lost":
                self._server.expired.add(self._session.id, self.resume_digest)
            seconds = round(self._clock() - started_s, 3)
            self._post.end_recording(reason)
            self._post.log("session_end", reason=reason, segments=self._session.segment_idx, seconds=seconds)
            self._server.log.close(self._session.id, wait=False)
            self._server.metrics.ended.labels(reason).inc()

    def drain(self) -> None:
        # A segment that only waits for its turn would keep those that run from ending in time.
        if not self._post.in_segment or not self._links.connected.is_set():
            self.shut_down()

    def shut_down(self) -> None:
        self._end(endings.shut_down(goes_on=self._keeping.goes_on_elsewhere))
        self._links.give_up()

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

    async def _release(self, state: SessionState) -> None:
        """Free the worker and the session's place; twice is the same as once."""
        session, server = self._session, self._server
        if self._released:
            return
        self._released = True
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

    async def _say_goodbye(self, ending: Ending) -> None:
        if ending.lost:
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
        await self._links.say_last(ending, FAREWELL_S)

    # --- connections

    async def resume(self, connection: Connection, message: SessionResume) -> None:
        """Go on over another connection; returns when that is free again. Raises NotKept, GraceOver."""
        link = await self._links.resume(connection, message, lambda: self._greeting(self._place))
        self._post.log("resumed", last_sequence=message.last_sequence)
        if self._commands is not None:
            self._commands.resumed()
        if self._segment is not None:
            self._segment.go_on()
        self._changed.set()
        await link.gone.wait()

    async def served(self) -> None:
        """Wait until the first connection is free, or the session's."""
        await self._links.served()

    def cut(self, connection: Connection) -> None:
        self._links.cut(connection)

    def forget_client(self) -> None:
        self._links.give_up()
        self._end(endings.client_lost())

    async def _make_way(self) -> None:
        """Without a client, keep the worker only for the segment that runs, and that while nobody else wants one."""
        segment = self._segment
        if self._binding or self._released:
            return
        if segment is None or not segment.generating:
            await self._give_place()
        elif self._post.blocked or self._server.pool.wanted:
            segment.suspend()
            self._post.let_through()

    async def _give_place(self) -> None:
        async with self._giving:
            if self._has_place:
                self._has_place = False
                await self._server.pool.release(self._session.id)

    # --- receiver

    async def _receive(self, link: SessionLink) -> None:
        if self._returned is None and not self._opening_frame.done():
            self._opening_frame.set_result(await link.connection.receive())
        # The handshake's first answer comes before any other.
        await self._placed.wait()
        if self._commands is None:
            assert self._opening is not None
            assert self._rewrites is not None
            self._commands = ClientCommands(
                self._opening,
                self._session,
                post=self._post,
                states=self._states,
                gate=self._server.prompts,
                rewrites=self._rewrites,
                cancel_segment=self._cancel_segment,
                clock=self._clock,
            )
        assert self._prompts is not None
        commands, prompts = self._commands, self._prompts

        async def answer(frame: str | bytes) -> None:
            self._use(self._allowance.take_message)
            await commands.answer(frame)
            prompts.look_ahead()
            self._changed.set()

        await link.answers(answer)

    def _use(self, take: Callable[[float], None]) -> None:
        try:
            take(self._clock())
        except QuotaExceeded as error:
            raise SessionOver(endings.over_quota(error_message(error))) from None

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
        await self._keep_record(opening)
        while True:
            # Nothing begins that nobody may ever see.
            await self._links.connected.wait()
            self._changed.clear()
            prompts.look_ahead()
            match opening.director.decide(self._clock()):
                case End() as end:
                    raise SessionOver(endings.completed(end.reason))
                case _ if self._server.draining:
                    raise SessionOver(endings.shut_down(goes_on=self._keeping.goes_on_elsewhere))
                case Start() as start:
                    if start.resumed:
                        await self._post.put(GenerationResumed())
                    await self._make_segment(start, opening, prompts)
                case Wait() as wait:
                    if wait.blocked is not None:
                        await self._post.put(GenerationBlocked(reason=wait.blocked))
                    await self._wait_for_change(wait.until_s)

    async def _open(self) -> tuple[Opening, PromptWork]:
        message = await self._opening_message() if self._returned is None else self._returned.record.opening
        server = self._server
        try:
            opening = await open_session(
                message, server.serve_config, server.session_presets, server.pool.request_defaults
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
        gate, director, limits = server.prompts, opening.director, server.streaming.limits
        budget = AskBudget(limits.max_model_requests_per_minute)
        prompts = self._prompts = PromptWork(gate, session, director, budget, clock=self._clock)
        self._rewrites = SeedRewrites(gate, director, limits, budget, post=self._post, clock=self._clock)
        if self._returned is None:
            await self._states.replace(opening.state)
        else:
            await self._go_on_from(self._returned, director)
        return opening, prompts

    async def _go_on_from(self, returned: Returned, director: Director) -> None:
        record, session = returned.record, self._session
        director.restore(record.director)
        session.segment_idx = record.segment_idx
        session.enhancement_enabled = record.enhancement_enabled
        await self._keeping.take_over(record.state)
        self._post.begin_at(returned.message.last_sequence, returned.message.frames_after)
        session.transition(SessionState.QUEUED, now=self._clock())
        self._links.allow_return()
        self._placed.set()

    async def _keep_record(self, opening: Opening) -> None:
        """Let the stores have what it takes to go on elsewhere."""
        session = self._session
        if opening.image is not None and session.segment_idx == 0:
            # It is not stored, and without it the segment would be another one.
            return
        await self._keeping.record(
            SessionRecord(
                token_digest=self.resume_digest,
                stream_id=self._stream_id,
                segment_idx=session.segment_idx,
                cursor=self._cursor,
                opening=opening.message,
                enhancement_enabled=session.enhancement_enabled,
                director=opening.director.record(),
                state=session.continuation_state,
                owner=self.owner,
            )
        )

    async def _opening_message(self) -> SessionInitV2:
        limit_s = min(OPENING_TIMEOUT_S, self._server.sessions.session_timeout_seconds)
        try:
            async with asyncio.timeout(limit_s):
                frame = await asyncio.shield(self._opening_frame)
        except TimeoutError:
            raise SessionOver(endings.timed_out(int(limit_s), "opening_message")) from None
        try:
            message = parse_opening(frame)
            if isinstance(message, SessionResume):
                self.handed_over = message
                raise SessionOver(endings.handed_over())
            return message
        except OpeningRefused as refusal:
            raise SessionOver(endings.refused(refusal.message, refusal.close_reason)) from None

    async def _bind(self) -> None:
        """Get a worker, or wait for one; a session that yielded its place while idle comes here again."""
        self._busy = self._binding = True
        session, server = self._session, self._server
        timeout_s = server.sessions.session_timeout_seconds
        async with self._giving:
            self._has_place = True
        try:
            assignment = await server.pool.join(session.id, timeout=timeout_s, on_place=self._tell_place)
        except (PoolAcquireTimeout, PoolUnavailable, QueueFull) as error:
            raise SessionOver(endings.no_worker(error_message(error))) from None
        finally:
            self._busy, self._binding = self._segment is not None, False
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
        self._place = place
        if not self._placed.is_set():
            self._session.transition(SessionState.QUEUED, now=self._clock())
            self._placed.set()
            # From here on the client can come back.
            self._links.allow_return()
            self._post.put_now(self._greeting(place))
        elif place != ADMITTED:
            self._post.put_now(_queue_status(place))

    def _greeting(self, place: Place) -> QueueStatus:
        """The first message of each connection."""
        grace_s = self._server.streaming.resume.grace_seconds
        how = {"resume_token": self._token, "resume_grace_seconds": grace_s} if grace_s > 0 else {}
        return _queue_status(place).model_copy(update={"session_id": self._session.id, **how})

    async def _bind_connected(self) -> None:
        """:meth:`_bind` for a segment, which begins only when a client is there."""
        while True:
            await self._bind()
            if self._links.connected.is_set():
                return
            await self._give_place()
            await self._links.connected.wait()

    async def _wait_for_change(self, until_s: float | None) -> None:
        delay_s = None if until_s is None else max(0.0, until_s - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._changed.wait()

    async def _make_segment(self, start: Start, opening: Opening, prompts: PromptWork) -> None:
        director, session, outcomes = opening.director, self._session, self._server.metrics.segments
        if not start.again:
            self._use(self._allowance.take_segment)
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
            seen=self._returned.message.last_sequence if start.again and self._returned is not None else 0,
        )
        self._busy = True
        try:
            await segment.run(self._bind_connected, lambda prompt: self._job(start, prompt, opening))
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
        except LeaseLost:
            raise SessionOver(endings.moved()) from None
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
        await self._keep_record(opening)

    async def _job(self, start: Start, prompt: Prompt, opening: Opening) -> SegmentJob:
        await self._keep_record(opening)
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


def _queue_status(place: Place) -> QueueStatus:
    return QueueStatus(position=place.position, queue_depth=place.queue_depth, eta_ms=place.eta_ms)


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

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

from fastvideo.api.errors import QuotaExceeded
from fastvideo.entrypoints.access.caller import NOBODY
from fastvideo.entrypoints.access.quotas import Allowance
from fastvideo.entrypoints.json_log import session_of_task
from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.connection import Connection
from fastvideo.entrypoints.streaming.director import End, Start, Wait
from fastvideo.entrypoints.streaming.endings import Ending, SessionOver
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.opened_session import OpenedSession, open_up
from fastvideo.entrypoints.streaming.opening import OpeningRefused, limits_on_the_wire, parse_opening
from fastvideo.entrypoints.streaming.protocol import (
    GenerationBlocked,
    GenerationResumed,
    Ltx2StreamStart,
    SessionInitV2,
    SessionResume,
)
from fastvideo.entrypoints.streaming.resume_token import digest, new_token
from fastvideo.entrypoints.streaming.segment_maker import SegmentMaker
from fastvideo.entrypoints.streaming.segment_run import SegmentRun
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session, SessionState
from fastvideo.entrypoints.streaming.session_keeping import SessionKeeping
from fastvideo.entrypoints.streaming.session_link import SessionLink
from fastvideo.entrypoints.streaming.session_links import SessionLinks, guard
from fastvideo.entrypoints.streaming.session_place import SessionPlace
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.session_record import Returned
from fastvideo.entrypoints.streaming.session_standing import SessionStanding, coarse_address
from fastvideo.entrypoints.streaming.session_trace import SessionTrace
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
        self._post = SessionPost(session.id, server)
        self._returned = returned
        self._keeping = SessionKeeping(session, server)
        self._trace = SessionTrace(server.tracing, session, continued=returned is not None)
        self._over = asyncio.Event()
        self._ending: asyncio.Future[Ending] = loop.create_future()
        self._opening_frame: asyncio.Future[str | bytes] = loop.create_future()
        self._opened: OpenedSession | None = None
        self._maker: SegmentMaker | None = None
        self._changed = asyncio.Event()
        self._released = False
        token = new_token(session.id) if returned is None else returned.message.resume_token
        self.resume_digest = digest(token)
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
        self._place = SessionPlace(session, server, post=self._post, links=self._links, token=token)

    @property
    def owner(self) -> str | None:
        """The name of the API key that the session was opened with."""
        return self.caller.key

    @property
    def standing(self) -> SessionStanding:
        now_s, opened, segment = self._clock(), self._opened, self._segment
        return SessionStanding(
            id=self._session.id,
            state=self._session.state.value,
            connected=self._links.connected.is_set(),
            generating=segment is not None and segment.generating,
            segment_idx=self._session.segment_idx,
            lead_ms=None if opened is None else round(opened.opening.director.viewer.ahead_ms(now_s), 1),
            age_s=round(now_s - self._session.created_at, 1),
            queue_position=self._place.queue_position,
            address=coarse_address(self.caller.address),
            owner=self.owner,
        )

    # --- life

    async def run(self) -> None:
        """Serve the session. Whatever it holds is free when this returns, however it ends."""
        session_of_task.set(self._session.id)
        self._server.runners[self._session.id] = self
        started_s = self._clock()
        reason, keeps = "cancelled", True
        self._post.log("session_start" if self._returned is None else "session_continued")
        try:
            async with self._group as group:
                self._links.open(None if self._returned is None else self._place.greeting())
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
            self._trace.end(reason)
            self._over.set()

    def drain(self) -> None:
        # A segment that only waits for its turn would keep those that run from ending in time.
        if not self._post.in_segment or not self._links.connected.is_set():
            self.shut_down()

    def shut_down(self) -> None:
        self._end(endings.shut_down(goes_on=self._keeping.goes_on_elsewhere))
        self._links.give_up()

    def expire(self) -> None:
        if self._place.binding or self._segment is not None:
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
            if self._opened is not None:
                await self._opened.close()

    async def _say_goodbye(self, ending: Ending) -> None:
        if ending.lost:
            return
        if ending.discard:
            self._post.discard()
        if ending.flush and not self._post.in_segment and self._maker is not None:
            fragments, _ = await asyncio.to_thread(flush_stream, self._maker.cursor)
            for fragment in fragments:
                self._post.put_now(fragment.data)
        for message in ending.messages:
            self._post.put_now(message)
        self._post.close()
        await self._links.say_last(ending, FAREWELL_S)

    # --- connections

    async def resume(self, connection: Connection, message: SessionResume) -> None:
        """Go on over another connection; returns when that is free again. Raises NotKept, GraceOver, Overtaken."""
        session_of_task.set(self._session.id)
        link = await self._links.resume(connection, message, self._place.greeting)
        self._post.log("resumed", last_sequence=message.last_sequence)
        if self._opened is not None:
            self._opened.commands.resumed()
        if self._segment is not None:
            self._segment.go_on()
        self._changed.set()
        await link.gone.wait()

    async def served(self) -> None:
        """Wait until the first connection is free, or the session's."""
        await self._links.served()

    async def over(self) -> None:
        """Wait until nothing of the session is left but what is stored."""
        await self._over.wait()

    def cut(self, connection: Connection) -> None:
        self._links.cut(connection)

    def forget_client(self) -> None:
        self._links.give_up()
        self._end(endings.client_lost())

    async def _make_way(self) -> None:
        """Without a client, keep the worker only for the segment that runs, and that while nobody else wants one."""
        segment = self._segment
        if self._place.binding or self._released:
            return
        if segment is None or not segment.generating:
            await self._place.give()
        elif self._post.blocked or self._server.pool.wanted:
            segment.suspend()
            self._post.let_through()

    @property
    def _segment(self) -> SegmentRun | None:
        return None if self._maker is None else self._maker.segment

    # --- receiver

    async def _receive(self, link: SessionLink) -> None:
        if self._returned is None and not self._opening_frame.done():
            self._opening_frame.set_result(await link.connection.receive())
        # The handshake's first answer comes before any other.
        await self._place.told.wait()
        assert self._opened is not None
        commands, prompts = self._opened.commands, self._opened.prompts

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
        opened, maker = await self._open()
        opening, prompts = opened.opening, opened.prompts
        with self._trace.admission():
            await self._place.bind()
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
        await maker.keep_record()
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
                    if not start.again:
                        self._use(self._allowance.take_segment)
                    await maker.make(start, self._place.bind_connected)
                case Wait() as wait:
                    if wait.blocked is not None:
                        await self._post.put(GenerationBlocked(reason=wait.blocked))
                    await maker.keep_wishes()
                    await self._wait_for_change(wait.until_s)

    async def _open(self) -> tuple[OpenedSession, SegmentMaker]:
        returned, session = self._returned, self._session
        message = await self._opening_message() if returned is None else returned.record.opening
        opened = self._opened = await open_up(
            message,
            session,
            self._server,
            post=self._post,
            states=self._keeping.states,
            cancel_segment=self._cancel_segment,
            heard_elsewhere=() if returned is None else returned.record.prompts_heard,
        )
        self._trace.opened(opened.opening)
        maker = self._maker = SegmentMaker(
            opened,
            session,
            self._server,
            post=self._post,
            keeping=self._keeping,
            stream_id=uuid.uuid4().hex if returned is None else returned.record.stream_id,
            cursor=MediaCursor.start() if returned is None else returned.record.cursor,
            token_digest=self.resume_digest,
            owner=self.owner,
            seen=0 if returned is None else returned.message.last_sequence,
            span=self._trace.span,
        )
        if returned is None:
            await self._keeping.states.replace(opened.opening.state)
        else:
            await self._go_on_from(returned, opened)
        return opened, maker

    async def _go_on_from(self, returned: Returned, opened: OpenedSession) -> None:
        record, session = returned.record, self._session
        director = opened.opening.director
        director.restore(record.director)
        director.viewer.begin_at(float(record.cursor.end_s * 1000))
        session.segment_idx = record.segment_idx
        session.enhancement_enabled = record.enhancement_enabled
        await self._keeping.take_over(record.state)
        self._post.begin_at(returned.message.last_sequence, returned.message.frames_after)
        self._place.go_on()

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

    async def _wait_for_change(self, until_s: float | None) -> None:
        delay_s = None if until_s is None else max(0.0, until_s - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._changed.wait()


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

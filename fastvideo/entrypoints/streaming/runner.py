"""One session from its opening message to its close: a receiver, a driver and a sender, and nothing that outlives them.

The receiver always reads and never waits for a generation. The driver asks the director what comes next, has the pool
make it, and stores the state before it announces a segment complete. The sender alone writes to the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import (
    ConfigValidationError,
    FastVideoError,
    GenerationCancelled,
    GenerationFailed,
    LimitExceeded,
)
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming import endings, state_blobs
from fastvideo.entrypoints.streaming.admission import ADMITTED, Place
from fastvideo.entrypoints.streaming.connection import Connection, ConnectionLost
from fastvideo.entrypoints.streaming.director import End, Prompt, Start, Wait
from fastvideo.entrypoints.streaming.endings import Ending, SessionOver
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.gpu_pool import PoolAcquireTimeout, PoolAssignment, PoolUnavailable, QueueFull
from fastvideo.entrypoints.streaming.message_faults import explain_invalid, invalid_reason
from fastvideo.entrypoints.streaming.opening import (
    Opening,
    OpeningRefused,
    check_curated,
    limits_on_the_wire,
    open_session,
    parse_opening,
)
from fastvideo.entrypoints.streaming.outbox import Outbox
from fastvideo.entrypoints.streaming.protocol import (
    AutoExtensionUpdated,
    ContinuationStateSnapshot,
    DeadlineMissed,
    EnhancementUpdated,
    ErrorMessage,
    ErrorReason,
    GenerationBlocked,
    GenerationPausedUpdated,
    GenerationResumed,
    GpuAssigned,
    LoopGenerationUpdated,
    Ltx2StreamStart,
    Ping,
    PlaybackStatus,
    Pong,
    PromptStatus,
    QueueStatus,
    SeedPromptsUpdated,
    SegmentCancel,
    SegmentCancelled,
    SegmentPromptSource,
    ServerMessage,
    SessionInitV2,
    SessionResume,
    SessionStop,
    SnapshotState,
    StateEnvelope,
    encode_server_message,
    parse_client_text,
)
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.segment_messages import SegmentMessages
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session, SessionState
from fastvideo.entrypoints.streaming.session_logger import SessionLogEvent
from fastvideo.entrypoints.streaming.session_store import BlobStore
from fastvideo.media.encoder import flush_stream
from fastvideo.media.timeline import MediaCursor

logger = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 1 << 20
OPENING_TIMEOUT_S = 60.0
SLOW_READER_S = 20.0
FAREWELL_S = 5.0
_LATE_MS = 1.0
_AUTOMATIC = ("curated", "auto_extension")
_SLOW_TEXT = "the connection takes the stream too slowly"


class SessionRunner:
    """Runs one session over one connection; :meth:`run` returns when both are over."""

    def __init__(self, connection: Connection, session: Session, server: ServerState) -> None:
        self._connection = connection
        self._session = session
        self._server = server
        self._clock = server.clock
        self._outbox = Outbox()
        self._blobs = server.blob_store.owned(session.id)
        self._stream_id = uuid.uuid4().hex
        self._cursor = MediaCursor.start()
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._first_frame: asyncio.Future[str | bytes] = asyncio.get_running_loop().create_future()
        self._opened = asyncio.Event()
        self._opening: Opening | None = None
        self._changed = asyncio.Event()
        self._place_told = False
        self._busy = False
        self._cancel = CancellationToken()
        self._segment: asyncio.Task[None] | None = None
        self._messages: SegmentMessages | None = None

    # --- life

    async def run(self) -> None:
        """Serve the session. Whatever it holds is free when this returns, however it ends."""
        self._server.runners[self._session.id] = self
        started_s = self._clock()
        name = "cancelled"
        self._log("session_start")
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._guard(self._send()))
                receiver = group.create_task(self._guard(self._receive()))
                driver = group.create_task(self._guard(self._drive()))
                ending = await self._ending
                name = ending.name
                await _stopped(receiver, driver)
                await self._release(ending.state)
                await self._farewell(ending, sender)
        finally:
            await self._release(SessionState.ERROR)
            self._log("session_end", reason=name, segments=self._session.segment_idx, seconds=self._clock() - started_s)
            self._server.log.close(self._session.id, wait=False)
            self._server.metrics.ended.labels(name).inc()

    def shut_down(self) -> None:
        self._end(endings.shut_down())

    def expire(self) -> None:
        if self._busy:
            # Waiting for a worker, or for a segment, is not the client's silence.
            self._session.touch(now=self._clock())
        else:
            self._end(endings.timed_out(self._server.sessions.session_timeout_seconds, "client_message"))

    def _end(self, ending: Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """A task's boundary: whatever stops one of the three tasks ends the session, for the reason that came first."""
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
        """Free the worker and the session's place, and forget its state; twice is the same as once."""
        session = self._session
        if self._server.runners.pop(session.id, None) is None:
            return
        target = state if session.can_become(state) else SessionState.ERROR
        if session.can_become(target):
            session.transition(target, now=self._clock())
        self._server.sessions.close(session.id)
        try:
            await self._server.pool.release(session.id)
        finally:
            session.continuation_state = None
            self._server.session_store.drop(session.id)
            self._server.blob_store.drop_owner(session.id)
            if self._opening is not None and self._opening.image is not None:
                Path(self._opening.image.path).unlink(missing_ok=True)

    async def _farewell(self, ending: Ending, sender: asyncio.Task[None]) -> None:
        if ending.lost:
            await _stopped(sender)
            return
        if ending.discard:
            self._outbox.discard()
        if ending.flush:
            fragments, self._cursor = await asyncio.to_thread(flush_stream, self._cursor)
            for fragment in fragments:
                self._outbox.put_now(fragment.data)
        for message in ending.messages:
            self._outbox.put_now(self._encoded(message))
        self._outbox.close()
        # A sender that gave up on a slow client has ended; what is left still gets its chance.
        last = sender if not sender.done() else asyncio.create_task(self._guard(self._send()))
        try:
            async with asyncio.timeout(FAREWELL_S):
                await last
                await self._connection.close(ending.code, ending.close_reason)
        except TimeoutError:
            logger.info("session %s: the client did not read its last messages", self._session.id)

    # --- sender

    async def _send(self) -> None:
        sent_bytes = self._server.metrics.sent_bytes
        while (frame := await self._outbox.take()) is not None:
            try:
                async with asyncio.timeout(SLOW_READER_S):
                    await self._connection.send(frame)
            except TimeoutError:
                raise SessionOver(endings.too_slow(error_message(ReaderTooSlow(_SLOW_TEXT)))) from None
            finally:
                self._outbox.sent(frame)
            sent_bytes.labels("text" if isinstance(frame, str) else "media").inc(len(frame))

    async def _put(self, item: ServerMessage | bytes) -> None:
        await self._outbox.put(item if isinstance(item, bytes) else self._encoded(item))

    def _encoded(self, message: ServerMessage) -> str:
        if isinstance(message, ErrorMessage):
            self._server.metrics.errors.labels(message.code).inc()
            self._log("error", code=message.code, reason=message.reason, message=message.message)
        return encode_server_message(message)

    # --- receiver

    async def _receive(self) -> None:
        self._first_frame.set_result(await self._connection.receive())
        await self._opened.wait()
        assert self._opening is not None
        while True:
            frame = await self._connection.receive()
            if isinstance(frame, bytes):
                await self._put(_invalid("Binary messages are not expected from a client."))
            elif len(frame) > MAX_MESSAGE_CHARS:
                await self._put(
                    _invalid(f"Expected at most {MAX_MESSAGE_CHARS} characters a message.", "limit_exceeded")
                )
            else:
                await self._answer(frame, self._opening)

    async def _answer(self, frame: str, opening: Opening) -> None:
        try:
            message = parse_client_text(frame)
        except ValidationError as error:
            await self._put(_invalid(explain_invalid(error), invalid_reason(error)))
            return
        director, session = opening.director, self._session
        if not isinstance(message, Ping | PlaybackStatus):
            # These two come from a page that is merely open.
            session.touch(now=self._clock())
        match message:
            case Ping():
                await self._put(Pong(id=message.id))
            case PlaybackStatus():
                director.viewer.reported(message.position_ms, self._clock())
            case SegmentPromptSource():
                await self._take_prompt(message, opening)
            case SnapshotState():
                await self._snapshot()
            case SegmentCancel():
                self._cancel_segment()
            case SessionStop():
                director.stop()
                self._cancel_segment()
            case SeedPromptsUpdated():
                try:
                    check_curated(message.seed_prompts, opening.requests, "seed_prompts")
                except ConfigValidationError as error:
                    await self._put(error_message(error))
                else:
                    session.curated_prompts = message.seed_prompts
                    director.replace_curated(message.seed_prompts)
            case LoopGenerationUpdated():
                session.loop_generation_enabled = message.enabled
                director.set_loop(message.enabled)
            case AutoExtensionUpdated():
                session.auto_extension_enabled = message.enabled
                director.set_auto_extension(message.enabled)
            case EnhancementUpdated():
                session.enhancement_enabled = message.enabled
            case GenerationPausedUpdated():
                session.generation_paused = message.paused
                director.set_paused(message.paused)
            case SessionInitV2() | SessionResume():
                await self._put(_invalid(f"The session is open already; {message.type} comes first or not at all."))
        self._changed.set()

    async def _take_prompt(self, message: SegmentPromptSource, opening: Opening) -> None:
        prompt = Prompt(
            message.prompt,
            source=message.source,
            negative_prompt=message.negative_prompt,
            seed=message.seed,
            num_inference_steps=message.num_inference_steps,
            guidance_scale=message.guidance_scale,
            request_id=message.request_id,
        )
        self._log("prompt", prompt=prompt.text, source=prompt.source, request_id=prompt.request_id)
        try:
            opening.requests.check(prompt)
            if not opening.director.submit(prompt):
                raise LimitExceeded("", f"{self._server.streaming.limits.max_queued_prompts} prompts wait already")
        except ConfigValidationError as error:
            refusal = error_message(error)
            await self._put(refusal)
            await self._tell_prompt(prompt, "rejected", refusal.reason or refusal.code)
        else:
            await self._tell_prompt(prompt, "pending")

    async def _tell_prompt(
        self, prompt: Prompt, status: Literal["pending", "applied", "rejected"], reason: str | None = None
    ) -> None:
        if prompt.request_id is not None:
            await self._put(PromptStatus(request_id=prompt.request_id, status=status, reason=reason))

    async def _snapshot(self) -> None:
        state = self._session.continuation_state
        if state is None:
            await self._put(ErrorMessage(message="There is no state yet: no segment is complete."))
            return
        try:
            text = await asyncio.to_thread(_snapshot_text, state, self._blobs)
        except FastVideoError as error:
            await self._put(error_message(error))
        else:
            await self._outbox.put(text)

    def _cancel_segment(self) -> None:
        self._cancel.cancel()
        if self._segment is not None and self._messages is not None and not self._messages.media_started:
            # Nothing of it is on the timeline, so there is nothing to wait for.
            self._segment.cancel()

    # --- driver

    async def _drive(self) -> None:
        opening = await self._open()
        await self._bind()
        sampling = opening.requests.sampling
        await self._put(
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
            match opening.director.decide(self._clock()):
                case Start() as start:
                    if start.resumed:
                        await self._put(GenerationResumed())
                    await self._make_segment(start, opening)
                case Wait() as wait:
                    if wait.blocked is not None:
                        await self._put(GenerationBlocked(reason=wait.blocked))
                    await self._wait_for_change(wait.until_s)
                case End() as end:
                    raise SessionOver(endings.completed(end.reason))

    async def _open(self) -> Opening:
        limit_s = min(OPENING_TIMEOUT_S, self._server.sessions.session_timeout_seconds)
        try:
            async with asyncio.timeout(limit_s):
                frame = await asyncio.shield(self._first_frame)
        except TimeoutError:
            raise SessionOver(endings.timed_out(int(limit_s), "opening_message")) from None
        try:
            message = parse_opening(frame)
            self._opening = opening = await open_session(
                message, self._server.serve_config, self._server.session_presets
            )
        except OpeningRefused as refusal:
            raise SessionOver(endings.refused(refusal.message, refusal.close_reason)) from None
        session = self._session
        session.client_id, session.preset, session.preset_label = (
            message.client_id,
            message.preset,
            message.preset_label,
        )
        session.curated_prompts = list(message.curated_prompts)
        session.enhancement_enabled = message.enhancement_enabled
        session.auto_extension_enabled = message.auto_extension_enabled
        session.loop_generation_enabled = message.loop_generation_enabled
        session.single_clip_mode = message.single_clip_mode
        session.metadata = dict(message.model_extra or {})
        session.touch(now=self._clock())
        if opening.state is not None:
            await self._store(opening.state)
        self._opened.set()
        return opening

    async def _bind(self) -> None:
        """Get a worker, or wait for one; a session that yielded its worker while idle comes here again."""
        self._busy = True
        try:
            assignment = await self._server.pool.join(
                self._session.id, timeout=self._server.sessions.session_timeout_seconds, on_place=self._tell_place
            )
        except (PoolAcquireTimeout, QueueFull, PoolUnavailable) as error:
            raise SessionOver(endings.no_worker(error_message(error))) from None
        finally:
            self._busy = False
        if not self._session.is_active():
            await self._assigned(assignment)

    async def _assigned(self, assignment: PoolAssignment) -> None:
        session, server = self._session, self._server
        session.transition(SessionState.GPU_BINDING, now=self._clock())
        session.gpu_id = assignment.gpu_id
        self._log("gpu_assigned", gpu_id=assignment.gpu_id, worker_id=assignment.worker_id)
        await self._put(
            GpuAssigned(
                gpu_id=assignment.gpu_id,
                session_timeout=server.sessions.session_timeout_seconds,
                model_id=server.pool.model_id,
            )
        )
        session.transition(SessionState.ACTIVE, now=self._clock())

    def _tell_place(self, place: Place) -> None:
        first, self._place_told = not self._place_told, True
        if first:
            self._session.transition(SessionState.QUEUED, now=self._clock())
        elif place == ADMITTED:
            return
        status = QueueStatus(
            position=place.position,
            queue_depth=place.queue_depth,
            eta_ms=place.eta_ms,
            session_id=self._session.id if first else None,
        )
        self._outbox.put_now(self._encoded(status))

    async def _wait_for_change(self, until_s: float | None) -> None:
        delay_s = None if until_s is None else max(0.0, until_s - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._changed.wait()

    # --- one segment

    async def _make_segment(self, start: Start, opening: Opening) -> None:
        director, session, metrics = opening.director, self._session, self._server.metrics
        messages = self._messages = SegmentMessages(session.segment_idx, start.prompt, self._stream_id)
        self._cancel = CancellationToken()
        self._busy = True
        try:
            await self._cancellable(self._produce(start, opening, messages))
        except GenerationCancelled:
            director.cancelled()
            metrics.segments.labels("cancelled").inc()
            self._log("segment_cancelled", segment_idx=session.segment_idx)
            await self._put(SegmentCancelled(segment_idx=session.segment_idx))
        except ReaderTooSlow as error:
            raise SessionOver(endings.too_slow(error_message(error))) from None
        except FastVideoError as error:
            metrics.segments.labels("failed").inc()
            if isinstance(error, TimelineBroken) or not messages.timeline_known:
                raise SessionOver(endings.timeline_broken(error_message(error))) from None
            director.failed()
            await self._put(error_message(error))
        else:
            director.completed()
            session.segment_idx += 1
            metrics.segments.labels("complete").inc()
        finally:
            self._busy = False
            self._messages = None
            session.touch(now=self._clock())

    async def _cancellable(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._segment = asyncio.create_task(work)
        try:
            await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            # Only the segment was cancelled, by the client.
            raise GenerationCancelled("the client cancelled the segment") from None
        finally:
            self._segment = None

    async def _produce(self, start: Start, opening: Opening, messages: SegmentMessages) -> None:
        session, viewer = self._session, opening.director.viewer
        asked_s = self._clock()
        await self._bind()
        self._busy = True
        job = await self._job(start, opening)
        playing = viewer.ahead_ms(self._clock()) > 0
        async with contextlib.aclosing(self._server.pool.stream(session.id, job, cancel=self._cancel)) as events:
            async for event in events:
                now_s = self._clock()
                session.touch(now=now_s)
                match event:
                    case SegmentStarted():
                        self._log("segment_start", segment_idx=job.segment_idx, prompt=start.prompt.text)
                        await self._tell_prompt(start.prompt, "applied")
                    case SegmentInit():
                        self._server.metrics.first_fragment_seconds.observe(now_s - asked_s)
                        late_ms = viewer.dry_ms(now_s)
                        if playing and viewer.reports and start.prompt.source in _AUTOMATIC and late_ms > _LATE_MS:
                            await self._put(DeadlineMissed(late_ms=round(late_ms, 3)))
                    case SegmentFragment():
                        viewer.sent(event.pts_ms + event.duration_ms, now_s)
                    case SegmentCut() | SegmentDone():
                        self._cursor = event.cursor
                for item in messages.of(event):
                    await self._put(item)
        if messages.done is None:
            raise GenerationFailed("the pool ended a segment without a result")
        await self._store(messages.done.state)
        await self._outbox.drained()
        e2e_s = self._clock() - asked_s
        complete = messages.complete(e2e_s * 1000.0)
        self._server.metrics.segment_seconds.observe(e2e_s)
        self._log("segment_complete", **complete.model_dump(exclude={"type"}, exclude_none=True))
        await self._put(complete)

    async def _job(self, start: Start, opening: Opening) -> SegmentJob:
        session, streaming = self._session, self._server.streaming
        state = session.continuation_state if start.continues else None
        if state is not None:
            state = await asyncio.to_thread(state_blobs.inline, state, self._blobs)
        first = session.segment_idx == 0
        request = opening.requests.build(
            start.prompt,
            segment_idx=session.segment_idx,
            state=state,
            image_path=opening.image.path if first and opening.image is not None else None,
        )
        return SegmentJob(
            request=request,
            cursor=self._cursor,
            segment_idx=session.segment_idx,
            encoder=streaming.encoder,
            burn_in_timecode=streaming.burn_in_timecode,
        )

    async def _store(self, state: ContinuationState | None) -> None:
        """Replace the session's state, and drop the blobs that only the old one referred to."""
        old = self._session.continuation_state
        stored = await asyncio.to_thread(self._stored, state)
        self._session.continuation_state = stored
        kept = set(state_blobs.blob_ids(stored)) if stored else set()
        for blob_id in state_blobs.blob_ids(old) if old else []:
            if blob_id not in kept:
                self._blobs.drop(blob_id)

    def _stored(self, state: ContinuationState | None) -> ContinuationState | None:
        if state is None:
            self._server.session_store.drop(self._session.id)
            return None
        stored = state_blobs.to_blobs(state, self._blobs)
        self._server.session_store.store(self._session.id, stored)
        return stored

    def _log(self, event: str, **payload: Any) -> None:
        self._server.log.log(SessionLogEvent(self._session.id, event, payload))


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _invalid(text: str, reason: ErrorReason | None = None) -> ErrorMessage:
    return ErrorMessage(code="invalid_message", message=text, retryable=True, reason=reason)


def _snapshot_text(state: ContinuationState, blobs: BlobStore) -> str:
    whole = state_blobs.inline(state, blobs)
    text = encode_server_message(ContinuationStateSnapshot(state=StateEnvelope(kind=whole.kind, payload=whole.payload)))
    if len(text) > state_blobs.MAX_STATE_JSON_BYTES:
        raise LimitExceeded("", f"the state takes more than {state_blobs.MAX_STATE_JSON_BYTES} bytes of JSON")
    if 2 * len(text) > state_blobs.MAX_STATE_JSON_BYTES:
        # The copy at the top level is left out rather than the state.
        return text
    return encode_server_message(ContinuationStateSnapshot.of(whole.kind, whole.payload))

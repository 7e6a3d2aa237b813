"""What becomes of a connection that arrives at a server."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fastvideo.api.errors import QuotaExceeded
from fastvideo.entrypoints.access.caller import NOBODY, Caller
from fastvideo.entrypoints.streaming.attachment import GraceOver, Overtaken
from fastvideo.entrypoints.streaming.connection import Connection, ConnectionLost
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.frame_log import NotKept
from fastvideo.entrypoints.streaming.opening import OpeningRefused, parse_opening
from fastvideo.entrypoints.streaming.protocol import ErrorMessage, SessionResume, encode_server_message
from fastvideo.entrypoints.streaming.resume_token import matches, session_of
from fastvideo.entrypoints.streaming.runner import FAREWELL_S, OPENING_TIMEOUT_S, SessionRunner
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session, SessionRejected
from fastvideo.entrypoints.streaming.session_record import Returned, load_record
from fastvideo.entrypoints.streaming.store_errors import StoreUnavailable

logger = logging.getLogger(__name__)

# What a client that wants to go on with a session may be told instead, and the close that follows.
_UNKNOWN = (
    ErrorMessage(code="session_rejected", message="There is no such session; open a new one.", reason="resume_unknown"),
    1003,
    "resume_unknown",
)
_EXPIRED = (
    ErrorMessage(
        code="session_rejected",
        message="The session has ended, or what was missed is no longer kept; open a new one.",
        reason="resume_expired",
    ),
    1003,
    "resume_expired",
)
_LATER = (
    ErrorMessage(
        code="gpu_unavailable", message="The session cannot go on at this moment.", retryable=True, retry_after=0.5
    ),
    1013,
    "try_again_later",
)

_SILENT = ErrorMessage(
    code="session_rejected", message="There are too many sessions, and no opening message came.", reason="rate_limited"
)
# A page that starts again comes while the session that it has left is being ended.
_LEAVING_S = 1.0
_LOOK_S = 0.02


async def arrive(connection: Connection, server: ServerState, caller: Caller) -> None:
    """Serve a caller's connection until it is free again: a session of its own, one that its client goes on with, or
    none."""
    if server.draining:
        message = ErrorMessage(
            code="session_rejected", message="The server is shutting down.", retryable=True, reason="draining"
        )
        await _refuse(connection, message, 1001, "shutting_down")
    else:
        try:
            allowance = server.quotas.admit(caller, server.clock())
        except QuotaExceeded:
            await _arrive_beyond_quota(connection, server, caller)
            return
        try:
            session = server.sessions.create(now=server.clock())
        except SessionRejected as rejection:
            allowance.close()
            wish = None
            if server.sessions.parked:
                with contextlib.suppress(ConnectionLost, TimeoutError):
                    wish = _wish_to_resume(await _opening_frame(connection))
            if wish is not None:
                await serve_resumed(connection, server, wish, caller)
                return
            message = ErrorMessage(code="session_rejected", message=str(rejection))
            await _refuse(connection, message, 1013, "session_rejected")
        else:
            await _run(SessionRunner(connection, session, server, allowance=allowance), connection, server)


async def _arrive_beyond_quota(connection: Connection, server: ServerState, caller: Caller) -> None:
    """Serve a caller who has as many sessions as they may: they may have come back to one, or have just left one."""
    try:
        opening = await _opening_frame(connection)
    except (ConnectionLost, TimeoutError):
        await _refuse(connection, _SILENT, 1013, "rate_limited")
        return
    wish = _wish_to_resume(opening)
    if wish is not None:
        await serve_resumed(connection, server, wish, caller)
        return
    until_s = server.clock() + _LEAVING_S
    while True:
        try:
            allowance = server.quotas.admit(caller, server.clock())
            break
        except QuotaExceeded as error:
            if server.clock() >= until_s:
                await _refuse(connection, error_message(error), 1013, "rate_limited")
                return
        await asyncio.sleep(_LOOK_S)
    try:
        session = server.sessions.create(now=server.clock())
    except SessionRejected as rejection:
        allowance.close()
        refusal = ErrorMessage(code="session_rejected", message=str(rejection))
        await _refuse(connection, refusal, 1013, "session_rejected")
        return
    again = _Reread(connection, opening)
    await _run(SessionRunner(again, session, server, allowance=allowance), again, server)


class _Reread:
    """A connection whose first frame was read before."""

    def __init__(self, connection: Connection, frame: str | bytes) -> None:
        self._connection = connection
        self._frame: str | bytes | None = frame
        self.send = connection.send
        self.close = connection.close

    async def receive(self) -> str | bytes:
        frame, self._frame = self._frame, None
        return frame if frame is not None else await self._connection.receive()


async def _run(runner: SessionRunner, connection: Connection, server: ServerState) -> None:
    """Start a session, which may outlive the connection; returns when the connection is free."""
    task = asyncio.create_task(_logged(runner))
    server.session_tasks.add(task)
    task.add_done_callback(server.session_tasks.discard)
    served = asyncio.ensure_future(runner.served())
    try:
        await asyncio.wait({task, served}, return_when=asyncio.FIRST_COMPLETED)
        if runner.handed_over is not None:
            await asyncio.wait({task})
            await serve_resumed(connection, server, runner.handed_over, runner.caller)
    except asyncio.CancelledError:
        runner.cut(connection)
        raise
    finally:
        served.cancel()


async def _opening_frame(connection: Connection) -> str | bytes:
    """What a client says first, who can have no new session at once. Raises ConnectionLost, TimeoutError."""
    async with asyncio.timeout(OPENING_TIMEOUT_S):
        return await connection.receive()


def _wish_to_resume(frame: str | bytes) -> SessionResume | None:
    """What the client wants to go on with, if that is what it says."""
    try:
        message = parse_opening(frame)
    except OpeningRefused:
        return None
    return message if isinstance(message, SessionResume) else None


async def serve_resumed(
    connection: Connection, server: ServerState, message: SessionResume, caller: Caller = NOBODY
) -> None:
    """Let a connection go on with the session whose token it brings, and which the same key opened; returns when it is
    free again."""
    session_id = session_of(message.resume_token)
    runner = server.runners.get(session_id)
    try:
        if runner is None:
            await _reopen(connection, server, message, caller)
        elif matches(message.resume_token, runner.resume_digest) and runner.owner == caller.key:
            try:
                await runner.resume(connection, message)
            except GraceOver:
                # It is about to end, and to leave what it can be gone on with.
                async with asyncio.timeout(FAREWELL_S):
                    await runner.over()
                await _reopen(connection, server, message, caller, ended_here=runner.resume_digest)
        else:
            await _refuse(connection, *_UNKNOWN)
    except TimeoutError:
        await _refuse(connection, *_LATER)
    except (GraceOver, NotKept, Overtaken):
        await _refuse(connection, *_EXPIRED)
    except asyncio.CancelledError:
        if runner is not None:
            runner.cut(connection)
        raise


async def _reopen(
    connection: Connection,
    server: ServerState,
    message: SessionResume,
    caller: Caller,
    *,
    ended_here: bytes | None = None,
) -> None:
    """Go on with a session from what is stored of it, by this server or another one. Raises GraceOver.

    ``ended_here``: the digest of its token, when it has just ended on this server.
    """
    session_id = session_of(message.resume_token)
    try:
        record = await asyncio.get_running_loop().run_in_executor(
            server.store_calls, load_record, server.session_store, session_id
        )
    except StoreUnavailable:
        logger.warning("a session that its client goes on with could not be read", exc_info=True)
        await _refuse(connection, *_LATER)
        return
    kept = record.token_digest if record is not None else ended_here or server.expired.get(session_id)
    strange = record is not None and record.owner != caller.key
    if kept is None or strange or not matches(message.resume_token, kept):
        await _refuse(connection, *_UNKNOWN)
        return
    if record is None or (message.last_sequence >= record.cursor.sequence and record.director.running is None):
        raise GraceOver("the session is not stored, or not as far as its client has it")
    session = Session(id=session_id, created_at=server.clock(), last_activity=server.clock())
    if session_id in server.sessions or session_id in server.runners:
        # Another connection of the same client was quicker.
        await _refuse(connection, *_LATER)
        return
    try:
        allowance = server.quotas.admit(caller, server.clock())
    except QuotaExceeded as error:
        await _refuse(connection, error_message(error), 1013, "rate_limited")
        return
    try:
        server.sessions.adopt(session)
    except SessionRejected as rejection:
        allowance.close()
        refusal = ErrorMessage(code="session_rejected", message=str(rejection), retryable=True, retry_after=2.0)
        await _refuse(connection, refusal, 1013, "session_rejected")
        return
    server.left_behind.take(session_id)
    await _run(SessionRunner(connection, session, server, Returned(record, message), allowance), connection, server)


async def _refuse(connection: Connection, message: ErrorMessage, code: int, reason: str) -> None:
    with contextlib.suppress(ConnectionLost, TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await connection.send(encode_server_message(message))
            await connection.close(code, reason)


async def _logged(runner: SessionRunner) -> None:
    try:
        await runner.run()
    except Exception:
        logger.exception("a session ended with a fault of this server")

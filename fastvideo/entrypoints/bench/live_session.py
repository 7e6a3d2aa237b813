"""One viewer of a live stream: comes, watches a virtual player, steers, and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastvideo.client import Event, ProtocolViolation, StreamClient, StreamClosed, StreamError
from fastvideo.entrypoints.bench.arrivals import steering_times
from fastvideo.entrypoints.bench.session_trace import SessionTrace, named
from fastvideo.entrypoints.streaming.protocol import SegmentPromptSource, SessionInitV2
from fastvideo.media.boxes import BoxError

# As often as the page tells the server where it is.
_REPORT_EVERY_S = 1.0
_GOODBYE_S = 5.0


class End(StrEnum):
    """How a session ended for its viewer."""

    WATCHED = "watched"
    COMPLETED = "completed by the server"
    REFUSED = "refused"
    LOST = "lost"
    UNREACHABLE = "unreachable"
    SILENT = "no picture in time"
    INVALID = "against the protocol"


@dataclass(frozen=True)
class Visit:
    """What every viewer does: watches for ``watch_s`` from the first picture on, steers every ``steer_every_s`` on
    average (0: never), and waits ``patience_s`` for the first picture."""

    watch_s: float
    steer_every_s: float
    patience_s: float
    buffer_s: float
    prompts: Sequence[str]


@dataclass
class LiveSession:
    """A session as it was; ``why`` refines its end."""

    trace: SessionTrace
    end: End | None = None
    why: str = ""


async def watch(
    session: LiveSession, url: str, visit: Visit, rng: random.Random, clock: Callable[[], float], api_key: str | None
) -> None:
    """Be one viewer; what comes of it is in ``session``, also when this is cancelled."""
    try:
        session.end, session.why = await _visit(session.trace, url, visit, rng, clock, api_key)
    finally:
        session.trace.left(clock())


async def _visit(
    trace: SessionTrace, url: str, visit: Visit, rng: random.Random, clock: Callable[[], float], api_key: str | None
) -> tuple[End, str]:
    story = [rng.choice(visit.prompts) for _ in range(3)]
    opening = SessionInitV2(client_id="fastvideo bench", curated_prompts=story, loop_generation_enabled=True)
    try:
        # A client that came back by itself would hide what is to be counted.
        client = await StreamClient.connect(
            url, opening, resume=False, api_key=api_key, open_timeout_s=max(0.1, min(visit.patience_s, 30.0))
        )
    except StreamError as error:
        return End.REFUSED, named(error.message)
    except StreamClosed:
        return End.UNREACHABLE, "no live stream is offered there"
    except (OSError, TimeoutError) as error:
        return End.UNREACHABLE, type(error).__name__
    async with client:
        try:
            return await _stay(client, trace, visit, rng, clock)
        except (ProtocolViolation, BoxError):
            return End.INVALID, "media or a message that cannot be read"


async def _stay(
    client: StreamClient, trace: SessionTrace, visit: Visit, rng: random.Random, clock: Callable[[], float]
) -> tuple[End, str]:
    loop = asyncio.get_running_loop()
    others: list[asyncio.Task[None]] = []
    try:
        async with asyncio.timeout(visit.patience_s) as limit:
            async for event in client:
                seen = trace.first_media_s is not None
                _hear(trace, event, clock)
                if not seen and trace.first_media_s is not None:
                    limit.reschedule(loop.time() + visit.watch_s)
                    others = [
                        asyncio.create_task(_until_closed(_report(client, trace, clock))),
                        asyncio.create_task(_until_closed(_steer(client, trace, visit, rng, clock))),
                    ]
    except TimeoutError:
        if trace.first_media_s is None:
            return End.SILENT, f"{visit.patience_s:g} s"
        trace.left(clock())
        with contextlib.suppress(TimeoutError, StreamClosed):
            async with asyncio.timeout(_GOODBYE_S):
                await client.stop()
        return End.WATCHED, ""
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    ending, error = client.protocol.ending, client.protocol.farewell
    if ending is not None:
        return End.COMPLETED, ending.reason
    why = named(error) if error is not None else f"close {client.close_code}"
    return (End.REFUSED if trace.active_s is None and error is not None else End.LOST), why


def _hear(trace: SessionTrace, event: Event, clock: Callable[[], float]) -> None:
    trace.heard(event, clock())


async def _until_closed(task: Coroutine[Any, Any, None]) -> None:
    # Whoever iterates over the events finds out why.
    with contextlib.suppress(StreamClosed):
        await task


async def _report(client: StreamClient, trace: SessionTrace, clock: Callable[[], float]) -> None:
    while True:
        player = trace.player
        player.look(clock())
        end_ms = 1000 * (player.position_s + player.ahead_s)
        await client.report_playback(1000 * player.position_s, end_ms, len(player.stalls))
        await asyncio.sleep(_REPORT_EVERY_S)


async def _steer(
    client: StreamClient, trace: SessionTrace, visit: Visit, rng: random.Random, clock: Callable[[], float]
) -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for moment_s in steering_times(visit.steer_every_s, visit.watch_s, rng):
        await asyncio.sleep(begun_s + moment_s - loop.time())
        request_id = uuid.uuid4().hex
        trace.steered(request_id, clock())
        await client.send(SegmentPromptSource(prompt=rng.choice(visit.prompts), request_id=request_id))

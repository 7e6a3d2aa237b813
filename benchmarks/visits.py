"""Ways in which a session begins, goes on and ends, each as one client lives through it.

A visit gets the ports of two servers that share their stores; it raises when something does not end as it should.
"""

from __future__ import annotations

import asyncio
import base64
import io
import random
from collections.abc import Awaitable, Callable
from typing import Any

from PIL import Image

from benchmarks.endings_server import GRACE_S, SEGMENT_CAP
from benchmarks.visitor import Visitor
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    ContinuationStateSnapshot,
    ErrorMessage,
    GpuAssigned,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    SegmentCancelled,
    SessionTimeout,
)

# Longer than a message may be.
_LONG_MESSAGE = 1_500_000
_SNAPSHOTS = 3


class Unexpected(Exception):
    """A session ended in another way than it should have."""


class Servers:
    """Where visits go. ``here`` and ``there``: ports; ``idle_s``: how long one may be silent there; ``chance`` decides
    who is recorded."""

    def __init__(self, here: int, there: int, idle_s: int, chance: random.Random) -> None:
        self.here = here
        self.there = there
        self.idle_s = idle_s
        self._chance = chance

    async def begin(self, **opening: Any) -> Visitor:
        """A session that is active; every fourth is recorded."""
        visitor = await Visitor.open(self.here, **({"record": True} if self._chance.random() < 0.25 else {}), **opening)
        await visitor.until(Ltx2StreamStart)
        return visitor


async def _stop(visitor: Visitor) -> None:
    await visitor.say("session_stop")
    ending = await visitor.until(Ltx2StreamComplete)
    _expect(ending.reason, "stop_requested")
    _expect(await visitor.closes(), 1000)


async def _watch(visitor: Visitor, prompt: str) -> None:
    await visitor.prompt(prompt)
    await visitor.until(Ltx2SegmentComplete)


def _expect(got: object, expected: object) -> None:
    if got != expected:
        raise Unexpected(f"expected {expected!r}, got {got!r}")


async def leaves(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("wait for nobody")
    await visitor.until(Ltx2SegmentStart)
    await visitor.leave()


async def leaves_before_it_speaks(at: Servers) -> None:
    await (await Visitor.come(at.here)).leave()


async def leaves_while_it_opens(at: Servers) -> None:
    visitor = await Visitor.open(at.here, initial_image=_image())
    await visitor.leave()


async def is_cut_for_good(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("a kite")
    await visitor.until(MediaFragment)
    visitor.cut()


async def is_cut_while_it_waits(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("wait in vain")
    await visitor.until(Ltx2SegmentStart)
    visitor.cut()


async def is_cut_before_it_speaks(at: Servers) -> None:
    (await Visitor.come(at.here)).cut()


async def stops(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "a paper boat")
    await _stop(visitor)


async def stops_in_a_segment(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("wait to be stopped")
    await visitor.until(Ltx2SegmentStart)
    await _stop(visitor)


async def cancels(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("wait to be cancelled")
    await visitor.until(Ltx2SegmentStart)
    await visitor.say("segment_cancel")
    await visitor.until(SegmentCancelled)
    await visitor.leave()


async def reaches_the_cap(at: Servers) -> None:
    visitor = await at.begin(curated_prompts=["a lantern", "a lantern at night"], loop_generation_enabled=True)
    ending = await visitor.until(Ltx2StreamComplete)
    _expect(ending.reason, "segment_cap")
    _expect(await visitor.closes(), 1000)
    assert SEGMENT_CAP == 2


async def falls_silent(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "a clock")
    await visitor.until(SessionTimeout)
    _expect(await visitor.closes(), 1000)


async def never_speaks(at: Servers) -> None:
    visitor = await Visitor.come(at.here)
    await visitor.until(SessionTimeout)
    _expect(await visitor.closes(), 1000)


async def fails(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("fail half way")
    _expect((await visitor.until(ErrorMessage)).code, "worker_failed")
    await _watch(visitor, "a second try")
    await _stop(visitor)


async def kills_its_workers(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("die with the worker")
    _expect((await visitor.until(ErrorMessage)).code, "worker_failed")
    await visitor.leave()


async def talks_nonsense(at: Servers) -> None:
    visitor = await at.begin()
    for frame in ("{", "[]", b"bytes", '{"type": "nonsense"}', '{"type": "enhancement_updated", "enabled": 3}'):
        await visitor.send(frame)
        _expect((await visitor.until(ErrorMessage)).code, "invalid_message")
    await visitor.prompt("x" * 100_000)
    _expect((await visitor.until(ErrorMessage)).code, "invalid_message")
    await visitor.leave()


async def sends_too_much(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("x" * _LONG_MESSAGE)
    _expect((await visitor.until(ErrorMessage)).reason, "limit_exceeded")
    visitor.cut()


async def opens_badly(at: Servers) -> None:
    openings: list[dict[str, Any]] = [
        {"preset": "unknown"},
        {"stream_mode": "legacy_jpeg"},
        {"initial_image": {"mime": "image/png", "data": "AAAA"}},
        {"continuation_state": {"kind": "unknown", "payload": {}}},
        {"continuation_state": {"kind": "ltx2.v1", "payload": {"video": {"blob_id": "stolen", "frame_count": 1}}}},
    ]
    for opening in openings:
        visitor = await Visitor.open(at.here, **opening)
        _expect(await visitor.closes(), 1003)
    for frame in ("{", b"bytes", '{"type": "ping", "id": 1}'):
        visitor = await Visitor.come(at.here)
        await visitor.send(frame)
        _expect(await visitor.closes(), 1003)


async def starts_from_an_image(at: Servers) -> None:
    visitor = await at.begin(initial_image=_image())
    await _watch(visitor, "a red wall")
    await _stop(visitor)


async def comes_back(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("a swing")
    await visitor.until(MediaFragment)
    visitor.cut()
    again = await visitor.come_back(at.here)
    await again.until(Ltx2SegmentComplete)
    await _stop(again)


async def comes_back_late(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "snow")
    visitor.cut()
    await asyncio.sleep(2 * GRACE_S)
    again = await visitor.come_back(at.here)
    await _watch(again, "rain")
    _expect(await again.closes(), 1000)


async def moves_to_another_server(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "heavy traffic")
    visitor.cut()
    again = await visitor.come_back(at.there)
    await _watch(again, "an empty road")
    _expect(await again.closes(), 1000)


async def moves_and_is_lost(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "clouds")
    visitor.cut()
    again = await visitor.come_back(at.there)
    await again.until(GpuAssigned)
    again.cut()


async def takes_its_own_place(at: Servers) -> None:
    visitor = await at.begin()
    await visitor.prompt("a door")
    await visitor.until(MediaFragment)
    again = await visitor.come_back(at.here)
    await again.until(Ltx2SegmentComplete)
    await _stop(again)
    visitor.cut()


async def carries_its_state_on(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "heavy stones")
    await visitor.say("snapshot_state")
    snapshot = await visitor.until(ContinuationStateSnapshot)
    await _stop(visitor)
    again = await at.begin(continuation_state=snapshot.state.model_dump(mode="json", exclude_none=True))
    await _watch(again, "heavy stones, moved")
    await again.leave()


async def reads_too_slowly(at: Servers) -> None:
    visitor = await at.begin()
    await _watch(visitor, "heavy reading")
    visitor.stop_reading()
    for _ in range(_SNAPSHOTS):
        await visitor.say("snapshot_state")
    # By then it was found too slow, or, where that took long, idle.
    await asyncio.sleep(at.idle_s + 2.0)
    visitor.cut()


Visit = Callable[[Servers], Awaitable[None]]

VISITS: tuple[Visit, ...] = (
    *(leaves, leaves_before_it_speaks, leaves_while_it_opens, is_cut_for_good, is_cut_while_it_waits),
    *(is_cut_before_it_speaks, stops, stops_in_a_segment, cancels, reaches_the_cap, falls_silent, never_speaks),
    *(fails, talks_nonsense, sends_too_much, opens_badly, starts_from_an_image, comes_back, comes_back_late),
    *(moves_to_another_server, moves_and_is_lost, takes_its_own_place, carries_its_state_on, reads_too_slowly),
)
# Each costs two worker processes, which take a second to start.
RARE_VISITS: tuple[Visit, ...] = (kills_its_workers,)


def _image() -> dict[str, str]:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    return {"mime": "image/png", "name": "red.png", "data": base64.b64encode(file.getvalue()).decode()}

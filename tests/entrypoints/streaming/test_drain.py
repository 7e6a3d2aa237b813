"""The drain on a virtual clock: sessions that end by themselves, when they are cut off, or not at all."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest

from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.runner import FAREWELL_S
from fastvideo.entrypoints.streaming.server import build_app


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait: its clock jumps to the next thing that is due."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        return self.now_s


class _Impatient(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everything waits for something that never happens"
        self._loop.now_s += max(0.0, timeout)
        return super().select(0)


def on_virtual_time(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


class FakeSession:
    """A session whose segment ends after ``segment_s`` (0: none is running). ``deaf``: it does not end when cut off."""

    def __init__(self, state: Any, segment_s: float, *, deaf: bool = False) -> None:
        self.cut_s: float | None = None
        self._segment_s = segment_s
        self._deaf = deaf
        self._over = asyncio.Event()
        self.connection = asyncio.create_task(self._run(state.runners))
        state.runners[str(id(self))] = self
        state.connections.add(self.connection)

    async def _run(self, runners: dict[str, Any]) -> None:
        await self._over.wait()
        del runners[str(id(self))]

    def drain(self) -> None:
        if self._segment_s == 0:
            self._over.set()
        elif self._segment_s < math.inf:
            asyncio.get_running_loop().call_later(self._segment_s, self._over.set)

    def shut_down(self) -> None:
        self.cut_s = asyncio.get_running_loop().time()
        if not self._deaf:
            self._over.set()

    def expire(self) -> None:
        raise AssertionError("nobody is silent")


@pytest.fixture
def state(fakes: Any) -> Any:
    return build_app(fakes.config(), fakes.StepGenerator()).state.server_state


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_running_segments_end_by_themselves_and_the_drain_with_the_last_of_them(state: Any) -> None:
    async def scene() -> None:
        sessions = [FakeSession(state, seconds) for seconds in (0.0, 4.0, 29.0)]
        await drain(state, 30.0)
        assert now_s() == pytest.approx(29.0)
        assert [session.cut_s for session in sessions] == [None, None, None]

    on_virtual_time(scene())


def test_what_still_runs_when_the_time_is_over_is_cut_off(state: Any) -> None:
    async def scene() -> None:
        quick, slow = FakeSession(state, 4.0), FakeSession(state, math.inf)
        await drain(state, 30.0)
        assert (quick.cut_s, slow.cut_s) == (None, pytest.approx(30.0))
        assert now_s() == pytest.approx(30.0)

    on_virtual_time(scene())


def test_a_session_that_does_not_even_end_then_is_left_behind_soon(state: Any) -> None:
    async def scene() -> None:
        stuck = FakeSession(state, math.inf, deaf=True)
        await drain(state, 30.0)
        assert now_s() == pytest.approx(30.0 + FAREWELL_S + 1.0)
        stuck.connection.cancel()

    on_virtual_time(scene())


def test_connections_that_come_later_hold_nothing_up(state: Any) -> None:
    async def scene() -> None:
        FakeSession(state, 4.0)
        draining = asyncio.create_task(drain(state, 30.0))
        await asyncio.sleep(1.0)
        later = asyncio.create_task(asyncio.Event().wait())
        state.connections.add(later)
        await draining
        assert now_s() == pytest.approx(4.0)
        later.cancel()

    on_virtual_time(scene())


def test_a_server_without_sessions_is_drained_at_once_and_takes_none(state: Any) -> None:
    async def scene() -> None:
        await drain(state, 30.0)
        assert now_s() == 0.0
        assert state.draining

    on_virtual_time(scene())

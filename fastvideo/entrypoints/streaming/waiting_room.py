"""Sessions on their way to a lease: what pools share around the book-keeping of :class:`Admission`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastvideo.entrypoints.streaming.admission import ADMITTED, Admission, Place
from fastvideo.entrypoints.streaming.pool_base import OnPlace, PoolAcquireTimeout, PoolAssignment


class WaitingRoom:
    """Who holds a lease and who waits for one, each told of its place. ``assign`` says what an admitted session gets;
    ``clock`` gives monotonic seconds."""

    def __init__(
        self, admission: Admission, *, assign: Callable[[str], PoolAssignment], clock: Callable[[], float]
    ) -> None:
        self._admission = admission
        self._assign = assign
        self._clock = clock
        self._assignments: dict[str, PoolAssignment] = {}
        self._waiters: dict[str, _Waiter] = {}
        self._yield_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._assignments.keys() | self._waiters.keys())

    async def join(
        self,
        session_id: str,
        *,
        timeout: float | None,  # noqa: ASYNC109
        on_place: OnPlace | None,
    ) -> PoolAssignment:
        """Get a lease, or wait for one. Raises QueueFull, PoolAcquireTimeout, or what :meth:`fail` was given."""
        self._admit(self._admission.enter(session_id, self._clock()))
        return await self._come_for_it(session_id, timeout, on_place)

    async def join_job(self, job_id: str) -> PoolAssignment:
        """Get a lease beside those of sessions, or wait until there is a worker. Raises what :meth:`fail` was given."""
        self._admit(self._admission.enter_beside(job_id, self._clock()))
        return await self._come_for_it(job_id, None, None)

    async def _come_for_it(self, session_id: str, timeout_s: float | None, on_place: OnPlace | None) -> PoolAssignment:
        if self._admission.claim(session_id, self._clock()):
            if on_place is not None:
                on_place(ADMITTED)
            return self._assignments[session_id]
        waiter = self._waiters.get(session_id)
        if waiter is None:
            waiter = self._waiters[session_id] = _Waiter(asyncio.get_running_loop().create_future())
        waiter.callers += 1
        if on_place is not None:
            waiter.listeners.append(on_place)
            if waiter.place is not None:
                on_place(waiter.place)
        self._after_change()
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: of two callers for the same session one may give up alone.
                assignment = await asyncio.shield(waiter.admitted)
            waiter.taken = True
            self._admission.claim(session_id, self._clock())
            self._after_change()
            return assignment
        except TimeoutError:
            raise PoolAcquireTimeout(f"no worker took the session within {timeout_s:g} s") from None
        finally:
            waiter.callers -= 1
            if on_place is not None:
                waiter.listeners.remove(on_place)
            if waiter.callers == 0 and not waiter.taken and not self._closed:
                # Given up, perhaps in the very moment of being admitted: the place must not stay taken.
                self.leave(session_id)

    def holds(self, session_id: str) -> bool:
        """Whether the session has a lease."""
        return self._admission.holds(session_id)

    def leave(self, session_id: str) -> None:
        """Give up the lease or the place in the queue, if there is one."""
        self._assignments.pop(session_id, None)
        waiter = self._waiters.pop(session_id, None)
        if waiter is not None and not waiter.admitted.done():
            waiter.fail(RuntimeError("the session was released while it waited"))
        self._admit(self._admission.leave(session_id, self._clock()))

    def started(self, session_id: str) -> None:
        """A segment of the session was asked for."""
        self._admission.started(session_id)

    def finished(self, session_id: str, busy_s: float | None) -> None:
        """No segment of the session runs any more; ``busy_s`` is the worker's time for a whole one."""
        self._admit(self._admission.finished(session_id, self._clock(), busy_s))

    def set_slots(self, slots: int) -> None:
        """Change how many leases there are."""
        self._admit(self._admission.set_slots(slots, self._clock()))

    def fail(self, error: Callable[[], Exception]) -> None:
        """Send everybody away who waits, each with an error."""
        for session_id, waiter in list(self._waiters.items()):
            del self._waiters[session_id]
            self._admission.leave(session_id, self._clock())
            waiter.fail(error())

    def close(self) -> None:
        """Admit nobody any more."""
        self._closed = True
        if self._yield_timer is not None:
            self._yield_timer.cancel()

    def _admit(self, session_ids: list[str]) -> None:
        for session_id in session_ids:
            self._assignments[session_id] = self._assign(session_id)
            waiter = self._waiters.pop(session_id, None)
            if waiter is not None:
                waiter.admitted.set_result(self._assignments[session_id])
        self._after_change()

    def _after_change(self) -> None:
        for session_id, place in self._admission.places().items():
            # The one that is just entering has no waiter yet.
            if session_id in self._waiters:
                self._waiters[session_id].tell(place)
        if self._yield_timer is not None:
            self._yield_timer.cancel()
            self._yield_timer = None
        due_s = self._admission.next_yield_s()
        if due_s is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._yield_timer = loop.call_later(max(0.0, due_s - self._clock()), self._promote)

    def _promote(self) -> None:
        self._admit(self._admission.promote(self._clock()))


class _Waiter:
    """A session that waits for its lease, and those who want to know how long."""

    def __init__(self, admitted: asyncio.Future[PoolAssignment]) -> None:
        self.admitted = admitted
        self.callers = 0
        self.taken = False
        self.place: Place | None = None
        self.listeners: list[OnPlace] = []

    def fail(self, error: Exception) -> None:
        """Wake everybody with an error."""
        self.admitted.set_exception(error)
        # Counts as seen even when the last caller has just given up.
        self.admitted.exception()

    def tell(self, place: Place) -> None:
        """Push a place that changed."""
        if place != self.place:
            self.place = place
            for listener in list(self.listeners):
                listener(place)

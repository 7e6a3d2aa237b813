"""An event loop in a thread of its own, for programs that have none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

T = TypeVar("T")
_END: Any = object()
# What was interrupted is given this long to clean up.
_CANCEL_S = 30.0


class BackgroundLoop:
    """Runs coroutines for any number of threads. The thread begins with the first of them, and ends with :meth:`close`
    or with the program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()
        self._portal: BlockingPortal | None = None
        self._closed = False

    @property
    def started(self) -> bool:
        """Whether there is anything to close."""
        return self._portal is not None

    def run(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """The coroutine's result. Whatever interrupts the wait, such as KeyboardInterrupt, cancels the coroutine.

        Raises what it raises, and RuntimeError when the loop is closed.
        """
        ended = threading.Event()

        async def call() -> T:
            try:
                return await function(*arguments)
            finally:
                ended.set()

        future = self._started().start_task_soon(call)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("expected an open client, got one that was closed meanwhile") from None
        except BaseException:
            if future.cancel():
                ended.wait(_CANCEL_S)
            raise

    def iterate(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        """The generator's items; it is closed with the iteration."""

        async def step() -> T:
            return await anext(generator, _END)

        try:
            while (item := self.run(step)) is not _END:
                yield item
        finally:
            # One that was interrupted and is still at it ends by itself.
            if not self._closed and not getattr(generator, "ag_running", False):
                self.run(generator.aclose)

    def close(self) -> None:
        """End the thread, and whatever still runs on it. May be called again."""
        with self._lock:
            self._closed = True
            if self._portal is not None:
                portal, self._portal = self._portal, None
                portal.call(portal.stop, True)
                self._stack.close()

    def _started(self) -> BlockingPortal:
        with self._lock:
            if self._closed:
                raise RuntimeError("expected an open client, got one that is closed")
            if self._portal is None:
                # Loaded for those alone who have no loop.
                from anyio.from_thread import start_blocking_portal

                self._portal = self._stack.enter_context(start_blocking_portal("asyncio", name="fastvideo-client"))
            return self._portal

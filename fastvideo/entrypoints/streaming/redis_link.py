"""A connection to Redis: an asyncio client on a thread of its own, for callers in any other thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import TypeVar
from urllib.parse import urlsplit

from redis import exceptions as faults
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_PATIENCE_S = 10.0
_MAX_CONNECTIONS = 16
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_PASSING = (faults.ConnectionError, faults.TimeoutError, faults.ReadOnlyError, faults.TryAgainError, OSError)
_LASTING = (faults.AuthenticationError, faults.AuthorizationError)


class RedisLink:
    """Runs coroutines against one Redis. What fails because Redis is away is tried again for ``patience_s``.

    What is run must therefore do no harm when it is done twice. The thread starts with the first call and ends with
    :meth:`close`; a link does not survive a fork.
    """

    def __init__(self, url: str, *, patience_s: float = DEFAULT_PATIENCE_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread, Redis] | None = None
        self._closed = False

    def call(self, work: Callable[[Redis], Awaitable[T]]) -> T:
        """The result of ``work``; raises StoreFull when Redis has no memory left, else StoreUnavailable."""
        loop, _, client = self._started()
        try:
            return asyncio.run_coroutine_threadsafe(self._tried(work, client), loop).result()
        except CancelledError:
            raise StoreUnavailable(self._closed_text()) from None

    def close(self) -> None:
        """End the connections and the thread; calls under way are given up."""
        with self._lock:
            running, self._running, self._closed = self._running, None, True
        if running is not None:
            loop, thread, client = running
            asyncio.run_coroutine_threadsafe(_wound_up(client), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def place(self) -> str:
        """Host and port, without what is secret in a URL."""
        parts = urlsplit(self._url)
        return f"{parts.hostname}:{parts.port or 6379}"

    def _started(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread, Redis]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(self._closed_text())
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="redis-link", daemon=True)
                thread.start()
                self._running = loop, thread, self._client()
            return self._running

    def _closed_text(self) -> str:
        return f"expected an open store on the Redis at {self.place}, found it closed"

    def _client(self) -> Redis:
        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=_MAX_CONNECTIONS,
            timeout=self._patience_s,
            socket_connect_timeout=self._patience_s,
            socket_timeout=self._patience_s,
            # All trying again is done here, where it has one bound.
            retry=Retry(NoBackoff(), 0),
        )
        return Redis.from_pool(pool)

    async def _tried(self, work: Callable[[Redis], Awaitable[T]], client: Redis) -> T:
        now_s = asyncio.get_running_loop().time
        deadline_s, pause_s, told = now_s() + self._patience_s, _FIRST_PAUSE_S, False
        while True:
            try:
                async with asyncio.timeout_at(deadline_s):
                    return await work(client)
            except faults.OutOfMemoryError as fault:
                raise StoreFull(
                    f"expected the Redis at {self.place} to have memory left; raise its maxmemory, or end sessions"
                ) from fault
            except _LASTING as fault:
                raise StoreUnavailable(
                    f"expected the Redis at {self.place} to let us in, and it refused; check the name and password"
                ) from fault
            except _PASSING as fault:
                if now_s() + pause_s >= deadline_s:
                    raise StoreUnavailable(
                        f"expected an answer of the Redis at {self.place} within {self._patience_s:g} s, got none;"
                        " check that it runs"
                    ) from fault
                if not told:
                    logger.warning("the Redis at %s does not answer (%s); trying again", self.place, fault)
                    told = True
            except faults.RedisError as fault:
                raise StoreUnavailable(
                    f"expected the Redis at {self.place} to do as asked, and it refused; its log and ours say more"
                ) from fault
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _wound_up(client: Redis) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.aclose()
    await client.connection_pool.disconnect()

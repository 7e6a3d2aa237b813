"""Asks every replica, again and again, whether it lives and whether it takes sessions."""
# ruff: noqa: ASYNC109  # the documented signature of a probe

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx

from fastvideo.entrypoints.streaming.router.config import RouterConfig
from fastvideo.entrypoints.streaming.router.registry import Replica, ReplicaRegistry
from fastvideo.entrypoints.streaming.router.tls import replica_context

logger = logging.getLogger(__name__)


class HttpProbe(Protocol):
    """One GET: how long it took in ms, and what was wrong, or None. A status of 400 or more is wrong."""

    async def __call__(self, url: str, *, timeout: float) -> tuple[float, str | None]: ...


class ReadinessProbe(Protocol):
    """One GET: whether the replica takes sessions, or None when it does not say (no such route, no answer)."""

    async def __call__(self, url: str, *, timeout: float) -> bool | None: ...


class HttpChecks:
    """Both probes over one client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def probe(self, url: str, *, timeout: float) -> tuple[float, str | None]:
        """See HttpProbe."""
        began_s = time.perf_counter()
        try:
            status = await self._status(url, timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return 0.0, type(error).__name__
        return (time.perf_counter() - began_s) * 1000, f"HTTP {status}" if status >= 400 else None

    async def readiness(self, url: str, *, timeout: float) -> bool | None:
        """See ReadinessProbe."""
        try:
            status = await self._status(url, timeout)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return None if status in (404, 405) else status < 400

    async def _status(self, url: str, timeout_s: float) -> int:
        # A body of any length is not read.
        async with self._client.stream("GET", url, timeout=timeout_s) as response:
            return response.status_code


async def run_health_check_loop(
    registry: ReplicaRegistry,
    config: RouterConfig | Callable[[], RouterConfig],
    *,
    stop_event: asyncio.Event,
    http_get: HttpProbe | None = None,
    readiness: ReadinessProbe | None = None,
) -> None:
    """Check all replicas side by side, every ``health_check_interval_seconds``, until ``stop_event`` is set.

    With an ``http_get`` of one's own, readiness is asked only with a ``readiness`` of one's own too. A config that
    changes is given as a callable.
    """
    first = config() if callable(config) else config
    async with _checks(http_get, readiness, first.replica_ca_file) as (alive, ready):
        while not stop_event.is_set():
            now = config() if callable(config) else config
            checks = asyncio.gather(*(_check(registry, replica, now, alive, ready) for replica in registry.all()))
            stopped = asyncio.ensure_future(stop_event.wait())
            try:
                await asyncio.wait((checks, stopped), return_when=asyncio.FIRST_COMPLETED)
                if checks.done():
                    checks.result()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(now.health_check_interval_seconds):
                        await asyncio.shield(stopped)
            finally:
                stopped.cancel()
                checks.cancel()
                await asyncio.gather(checks, stopped, return_exceptions=True)


@contextlib.asynccontextmanager
async def _checks(
    http_get: HttpProbe | None, readiness: ReadinessProbe | None, ca_file: str | None
) -> AsyncIterator[tuple[HttpProbe, ReadinessProbe | None]]:
    if http_get is not None:
        yield http_get, readiness
        return
    # Proxies of the environment are for the outside; replicas are asked as sessions reach them.
    async with httpx.AsyncClient(verify=replica_context(ca_file), trust_env=False, follow_redirects=False) as client:
        checks = HttpChecks(client)
        yield checks.probe, readiness or checks.readiness


async def _check(
    registry: ReplicaRegistry, replica: Replica, config: RouterConfig, alive: HttpProbe, ready: ReadinessProbe | None
) -> None:
    timeout_s = config.health_check_timeout_seconds
    try:
        async with asyncio.timeout(2 * timeout_s):
            latency_ms, error = await alive(replica.url + config.health_check_path, timeout=timeout_s)
            said = None
            if error is None and ready is not None and config.readiness_path is not None:
                said = await ready(replica.url + config.readiness_path, timeout=timeout_s)
    except TimeoutError:
        latency_ms, error, said = 0.0, "no answer in time", None
    except Exception as failure:
        logger.exception("the check of replica %s failed", replica.endpoint.label)
        latency_ms, error, said = 0.0, type(failure).__name__, None
    if error is not None:
        await registry.record_failure(replica, failure_threshold=config.failure_threshold, reason=error)
        return
    if replica.ready != (said is not False):
        replica.ready = said is not False
        logger.info("replica %s %s sessions", replica.endpoint.label, "takes" if replica.ready else "takes no")
    await registry.record_success(replica, recovery_threshold=config.recovery_threshold, latency_ms=latency_ms)

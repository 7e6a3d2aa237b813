"""Replicas are asked side by side, again and again."""

# ruff: noqa: ASYNC109  # the documented signature of a probe

import asyncio

from fastvideo.entrypoints.streaming.router import (
    ReplicaEndpoint,
    ReplicaRegistry,
    ReplicaStatus,
    RouterConfig,
    run_health_check_loop,
)


class Probe:
    """Answers as it is told, and notes what it was asked."""

    def __init__(self):
        self.asked = []
        self.errors = {}

    async def __call__(self, url, *, timeout):
        self.asked.append((url, timeout))
        return 2.0, self.errors.get(url)


def build(*urls, **settings):
    config = RouterConfig(
        replicas=[ReplicaEndpoint(url) for url in urls], **{"health_check_interval_seconds": 0.01, **settings}
    )
    return config, ReplicaRegistry(config.replicas)


async def run_until(parts, condition, registry, config, **probes):
    stop = asyncio.Event()
    loop = asyncio.create_task(run_health_check_loop(registry, config, stop_event=stop, **probes))
    try:
        await parts.until(condition)
    finally:
        stop.set()
        await asyncio.wait_for(loop, 5)


async def test_every_replica_is_asked_at_its_path_with_the_timeout(parts):
    config, registry = build("http://a:1/", "http://b:2", health_check_timeout_seconds=0.7)
    probe = Probe()
    probe.errors["http://b:2/health"] = "HTTP 500"
    await run_until(
        parts,
        lambda: registry.get("http://b:2").health.status is ReplicaStatus.UNHEALTHY,
        registry,
        config,
        http_get=probe,
    )
    assert set(probe.asked) == {("http://a:1/health", 0.7), ("http://b:2/health", 0.7)}
    assert registry.get("http://a:1").is_healthy
    assert registry.get("http://a:1").health.last_latency_ms == 2.0


async def test_a_replica_that_hangs_fails_and_holds_nobody_up(parts):
    config, registry = build("http://a", "http://b", health_check_timeout_seconds=0.02, failure_threshold=1)

    async def probe(url, *, timeout):
        if url.startswith("http://b"):
            await asyncio.Event().wait()
        return 1.0, None

    await run_until(
        parts,
        lambda: registry.get("http://b").health.status is ReplicaStatus.UNHEALTHY,
        registry,
        config,
        http_get=probe,
    )
    assert registry.get("http://a").is_healthy


async def test_a_probe_that_raises_is_a_failure_and_not_the_end(parts, caplog):
    config, registry = build("http://a", failure_threshold=2)
    raising = [True]

    async def probe(url, *, timeout):
        if raising:
            raise RuntimeError("oops")
        return 1.0, None

    def seen():
        if registry.all()[0].health.status is ReplicaStatus.UNHEALTHY:
            raising.clear()
        return registry.all()[0].is_healthy

    await run_until(parts, seen, registry, config, http_get=probe)


async def test_the_loop_stops_in_the_middle_of_a_check_and_of_a_pause():
    config, registry = build("http://a", health_check_interval_seconds=1000.0, health_check_timeout_seconds=1000.0)
    asked = asyncio.Event()

    async def hangs(url, *, timeout):
        asked.set()
        await asyncio.Event().wait()

    async def answers(url, *, timeout):
        asked.set()
        return 1.0, None

    for probe in (hangs, answers):
        asked.clear()
        stop = asyncio.Event()
        loop = asyncio.create_task(run_health_check_loop(registry, config, stop_event=stop, http_get=probe))
        await asyncio.wait_for(asked.wait(), 5)
        stop.set()
        await asyncio.wait_for(loop, 5)


async def test_real_replicas_are_asked_whether_they_live_and_whether_they_are_ready(parts, replicas):
    (replica,) = await replicas("a")
    replica.ready = False
    config, registry = build(replica.url, failure_threshold=2)
    known = registry.all()[0]
    seen = []

    def story():
        now = (known.is_healthy, known.takes_sessions)
        if not seen or seen[-1] != now:
            seen.append(now)
        if now == (True, False) and len(seen) < 4:
            replica.ready = True
        elif now == (True, True):
            replica.alive = False
        return now == (False, False) and (True, True) in seen

    await run_until(parts, story, registry, config)
    # Unknown; alive and not ready; ready; dead.
    assert [now for now in seen if now != (False, False)] == [(True, False), (True, True)]


async def test_a_server_without_a_readiness_route_is_ready_while_it_lives(parts):
    config, registry = build("http://a")

    async def silent(url, *, timeout):
        assert url == "http://a/readyz"

    await run_until(
        parts, lambda: registry.all()[0].takes_sessions, registry, config, http_get=Probe(), readiness=silent
    )


async def test_a_replica_that_nobody_listens_for_becomes_unhealthy(parts, replicas):
    (replica,) = await replicas("a")
    await replica.stop()
    config, registry = build(replica.url)
    await run_until(parts, lambda: registry.all()[0].health.status is ReplicaStatus.UNHEALTHY, registry, config)
    assert registry.all()[0].health.last_failure_at is not None

"""Servers that share the stores of one Redis, and a router before them: real processes, on one machine."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.redis_server import RedisServer
from benchmarks.router_process import routing
from benchmarks.server_process import ServerProcess, fastvideo_serve, free_port

FPS = 12
# The least that a strip with the frame's number fits into.
_WIDTH_PX, _HEIGHT_PX = 256, 64
_SERVERS = 3


class ClusterServer:
    """One server, at the same address in all of its lives."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.port = free_port()
        self.log_dir = folder
        self._config = config
        self._life = contextlib.AsyncExitStack()
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it takes sessions."""
        overrides = ("--streaming.session_log_dir", str(self.log_dir))
        self._process, _ = await self._life.enter_async_context(
            fastvideo_serve(self._config, overrides, port=self.port, log_file=self.log_dir / "server.log")
        )

    async def kill(self) -> None:
        """End it with -9."""
        assert self._process is not None
        self._process.kill()
        await self._process.ended()

    async def drain(self) -> int:
        """End it with SIGTERM; gives its exit code."""
        assert self._process is not None
        self._process.drain()
        return await self._process.ended()

    async def close(self) -> None:
        """End whatever lives of it still."""
        await self._life.aclose()

    def sessions_begun(self) -> dict[str, float]:
        """When each session came here last, in seconds since the epoch."""
        begun: dict[str, float] = {}
        for path in self.log_dir.glob("session-*.jsonl"):
            for line in path.read_text("utf-8").splitlines():
                event = json.loads(line)
                if event["event"] in ("session_start", "session_continued"):
                    begun[event["session_id"]] = max(begun.get(event["session_id"], 0.0), event["ts"])
        return begun


class Cluster:
    """Three servers and a router, from :func:`cluster`."""

    def __init__(self, redis: RedisServer, servers: list[ClusterServer], router: ServerProcess) -> None:
        self.redis = redis
        self.servers = servers
        self.stream_url = router.stream_url
        self._router = f"http://127.0.0.1:{router.port}"

    def homes(self, session_ids: list[str]) -> dict[str, ClusterServer]:
        """The server to which each session came last."""
        begun = [(server, server.sessions_begun()) for server in self.servers]
        return {one: max(begun, key=lambda known: known[1].get(one, 0.0))[0] for one in session_ids}

    def begun_after(self, moment_s: float, session_ids: list[str]) -> list[float]:
        """For each of these sessions that began or went on at a server since then (seconds since the epoch): how long
        it took until the last that did so had it."""
        begun = [server.sessions_begun() for server in self.servers]
        newest_s = [max(known.get(one, 0.0) for known in begun) for one in session_ids]
        return [at_s - moment_s for at_s in newest_s if at_s > moment_s]

    async def takes_sessions(self, server: ClusterServer, within_s: float = 30.0) -> None:
        """Wait until the router has found that the server takes sessions. Raises TimeoutError."""
        ends_s = time.monotonic() + within_s
        async with httpx.AsyncClient(base_url=self._router, trust_env=False) as http:
            while time.monotonic() < ends_s:
                rows: list[dict[str, Any]] = (await http.get("/status")).json()["replicas"]
                row = next(row for row in rows if row["url"] == server.url)
                if row["status"] == "healthy" and row["ready"]:
                    return
        raise TimeoutError(f"the router does not take a server for healthy that has answered for {within_s:g} s")


@contextlib.asynccontextmanager
async def cluster(folder: Path, *, segment_s: float, lead_s: float, factor: float) -> AsyncIterator[Cluster]:
    """All of it, with the fake generator, which takes ``factor`` of a segment's playback, give or take a tenth.

    Automatic segments are made ``lead_s`` ahead of a viewer.
    """
    async with contextlib.AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(keeps=True))
        config = folder / "serve.yaml"
        config.write_text(yaml.safe_dump(_serve_config(redis.url, segment_s, lead_s, factor)))
        servers = []
        for number in range(_SERVERS):
            log_dir = folder / f"server-{number}"
            log_dir.mkdir()
            server = ClusterServer(log_dir, config)
            stack.push_async_callback(server.close)
            await server.start()
            servers.append(server)
        checks = {"interval_seconds": 0.5, "failure_threshold": 2, "recovery_threshold": 1}
        settings = {"health_check": checks}
        router = await stack.enter_async_context(
            routing([server.url for server in servers], settings, log=folder / "router.log")
        )
        whole = Cluster(redis, servers, router)
        for server in servers:
            await whole.takes_sessions(server)
        yield whole


def _serve_config(redis_url: str, segment_s: float, lead_s: float, factor: float) -> dict[str, Any]:
    return {
        "generator": {"model_path": f"mock:?rtf={factor:g}&jitter=0.1"},
        "server": {"host": "127.0.0.1"},
        "default_request": {
            "sampling": {
                "width": _WIDTH_PX,
                "height": _HEIGHT_PX,
                "num_frames": round(segment_s * FPS),
                "fps": FPS,
                "num_inference_steps": 2,
            }
        },
        "streaming": {
            "warmup": {"enabled": False},
            "generation_segment_cap": 100_000,
            "encoder": "libx264",
            "pool": {"backend": "in_process", "sessions_per_worker": 64},
            "pacing": {"lead_seconds": lead_s},
            "stores": {"sessions": redis_url, "blobs": redis_url},
            "drain_timeout_seconds": 10.0,
        },
    }

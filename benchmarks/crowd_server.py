"""The server that a crowd comes to: ours, with media that is coded already. Prints ``{"port": N}`` first.

``/prepare`` starts threads that would start later; ``/now`` tells how it stands at this moment; ``/left`` what is held
once all sessions are over.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
import sys
import threading
import time
from typing import Any

import psutil
from fastapi.routing import APIRoute

from benchmarks.allocated import allocated_bytes, give_back_free_memory
from benchmarks.endings_server import quiet, start_threads
from benchmarks.holdings import Holdings
from benchmarks.replay import ReplayLoad
from benchmarks.replay_pool import ReplayPool
from fastvideo.api.schema import (
    GeneratorConfig,
    PacingConfig,
    ResumeConfig,
    ServeConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.streaming import session_post
from fastvideo.entrypoints.streaming.server import build_app, build_server
from fastvideo.entrypoints.streaming.server_state import ServerState

MAX_SESSIONS = 256
# Less than by default, so that whatever holds the server up is seen at viewers.
LEAD_S = 2.0
_MANY = 1_000_000
_QUIET_TIMEOUT_S = 90.0


def ended(server: ServerState) -> dict[str, int]:
    """How many sessions are over, by the reason."""
    samples = next(iter(server.metrics.ended.collect())).samples
    return {one.labels["reason"]: int(one.value) for one in samples if one.name.endswith("_total")}


def now(server: ServerState) -> dict[str, Any]:
    """Ids of the sessions that have a place, and what the server takes at this moment."""
    return {
        "sessions": [session.id for session in server.sessions.active_sessions()],
        "ended": ended(server),
        "in_use_bytes": allocated_bytes(),
    }


async def left(server: ServerState) -> dict[str, Any]:
    """What the server holds once it is quiet, by kind."""
    until_s = time.monotonic() + _QUIET_TIMEOUT_S
    while not quiet(server) and time.monotonic() < until_s:  # noqa: ASYNC110  # nothing else waits for it
        await asyncio.sleep(0.05)
    await asyncio.to_thread(_forget, server)
    gc.collect()
    in_use_bytes = allocated_bytes()
    give_back_free_memory()
    health = server.pool.health()
    return {
        "sessions": len(server.sessions) + server.sessions.parked + len(server.runners) + len(server.session_tasks),
        "places": health.active_sessions + health.queued_sessions,
        "connections": len(server.connections),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": Holdings.now().descriptors,
        "ended": ended(server),
        "in_use_bytes": in_use_bytes,
        "memory_bytes": psutil.Process().memory_full_info().uss,
    }


def _forget(server: ServerState) -> None:
    """What is kept for clients that may come back goes, as it does with time."""
    while server.left_behind.forget_oldest():
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=ReplayLoad.from_json, required=True, help="the coded media, as JSON")
    parser.add_argument("--grace-seconds", type=float, required=True, help="how long to wait for a lost client")
    parser.add_argument("--slow-reader-seconds", type=float, help="other than what the service has")
    arguments = parser.parse_args()
    if arguments.slow_reader_seconds is not None:
        session_post.SLOW_READER_S = arguments.slow_reader_seconds
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        streaming=StreamingConfig(
            generation_segment_cap=_MANY,
            warmup=WarmupConfig(enabled=False),
            max_sessions=MAX_SESSIONS,
            pacing=PacingConfig(lead_seconds=LEAD_S),
            resume=ResumeConfig(grace_seconds=arguments.grace_seconds),
        ),
    )
    app = build_app(config, pool=ReplayPool(arguments.load, sessions_per_worker=2 * MAX_SESSIONS))
    server: ServerState = app.state.server_state

    async def tell_now() -> dict[str, Any]:
        return now(server)

    async def tell_left() -> dict[str, Any]:
        return await left(server)

    async def prepare() -> None:
        await start_threads(server)

    # Before the page, which answers whatever is left.
    routes = {"/now": tell_now, "/left": tell_left, "/prepare": prepare}
    app.router.routes[:0] = [APIRoute(path, answer) for path, answer in routes.items()]
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    build_server(app, host="127.0.0.1", port=0, log_level="error").run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())

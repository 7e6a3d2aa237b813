"""A server whose sessions end in every way, and soon. Prints ``{"port": N}`` first.

What is stored lies in files. ``/prepare`` starts threads that would start later; ``/holdings`` tells what is held. It
is asked when all sessions are over: the clock of its stores is then that of the next day, so that what stays for
clients that may come back has expired as well, and is counted beforehand.
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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.allocated import allocated_bytes, give_back_free_memory
from benchmarks.holdings import Holdings
from benchmarks.wilful_worker import WilfulGenerator, launch_wilful
from fastvideo.api.schema import (
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    RecordingsConfig,
    ResumeConfig,
    SamplingConfig,
    ServeConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.streaming import session_post
from fastvideo.entrypoints.streaming.file_blobs import FileBlobStore
from fastvideo.entrypoints.streaming.file_sessions import FileSessionStore
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.server import build_app, build_server
from fastvideo.entrypoints.streaming.server_state import STORE_THREADS, ServerState

MAX_SESSIONS = 24
SEGMENT_CAP = 2
GRACE_S = 0.5
_SLOW_READER_S = 0.5
# So few that there are always as many.
_RECORDINGS = 1
_OTHER_THREADS = 6
_DAY_S = 86_400.0
_FRAMES = 8


class StoreClock:
    """Seconds since the epoch, with what was added to them."""

    ahead_s = 0.0

    def __call__(self) -> float:
        """Now, for stores."""
        return time.time() + self.ahead_s


class Leaking:
    """An application that keeps so many bytes of each stream for ever: what a leak looks like."""

    def __init__(self, app: ASGIApp, leak_bytes: int) -> None:
        self._app = app
        self._leak_bytes = leak_bytes
        self._kept: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self._kept.append(b"x" * self._leak_bytes)
        await self._app(scope, receive, send)


def build(folder: Path, name: str, *, workers: int, idle_s: int, clock: StoreClock) -> FastAPI:
    """The app over the stores of ``folder``, which servers share; the rest of its files is ``name``'s own.

    ``workers``: processes that generate; 0 is a thread of this one. ``idle_s``: how long a client may be silent.
    """
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        default_request=GenerationRequest(
            sampling=SamplingConfig(width=64, height=64, num_frames=_FRAMES, fps=8, num_inference_steps=1)
        ),
        streaming=StreamingConfig(
            session_timeout_seconds=idle_s,
            generation_segment_cap=SEGMENT_CAP,
            warmup=WarmupConfig(enabled=False),
            max_sessions=MAX_SESSIONS,
            pool=GpuPoolConfig(sessions_per_worker=2 * MAX_SESSIONS),
            resume=ResumeConfig(grace_seconds=GRACE_S),
            session_log_dir=str(folder / name / "log"),
            recordings=RecordingsConfig(dir=str(folder / name / "recordings"), max_count=_RECORDINGS),
            encoder="libx264",
        ),
    )
    assert config.streaming is not None
    store = FileSessionStore(folder / "sessions", clock=clock)
    if workers:
        settings = GpuPoolConfig(num_workers=workers, sessions_per_worker=2 * MAX_SESSIONS)
        pool = SubprocessGpuPool(config.generator, pool_config=settings, session_store=store, launch=launch_wilful)
        app = build_app(config, pool=pool)
    else:
        app = build_app(config, WilfulGenerator(mortal=False), session_store=store)
    server: ServerState = app.state.server_state
    server.blob_store = FileBlobStore(folder / "blobs", clock=clock)
    return app


def quiet(server: ServerState) -> bool:
    """Whether no session is left in any form."""
    health = server.pool.health()
    left = (len(server.sessions), server.sessions.parked, len(server.runners), len(server.session_tasks))
    return not any((*left, len(server.connections), health.active_sessions, health.queued_sessions))


async def holdings(server: ServerState, folder: Path, clock: StoreClock) -> dict[str, Any]:
    """What this server holds once it is quiet, by kind; ``types``: live objects of ours by their class."""
    waits_until_s = time.monotonic() + 30.0
    while not quiet(server) and time.monotonic() < waits_until_s:  # noqa: ASYNC110  # nothing else waits for it
        await asyncio.sleep(0.05)
    kept = await asyncio.to_thread(lambda: len(list(server.session_store)))
    clock.ahead_s = _DAY_S
    try:
        found = await asyncio.to_thread(_stored, server, folder)
    finally:
        clock.ahead_s = 0.0
    gc.collect()
    in_use_bytes = allocated_bytes()
    give_back_free_memory()
    health, here, process = server.pool.health(), Holdings.now(), psutil.Process()
    types = Counter(_name(type(thing)) for thing in gc.get_objects())
    ours = {name: count for name, count in types.items() if name.startswith("fastvideo.")}
    return found | {
        "sessions": len(server.sessions) + server.sessions.parked + len(server.runners) + len(server.session_tasks),
        "places": health.active_sessions + health.queued_sessions,
        "connections": len(server.connections),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": here.descriptors,
        "processes": len(here.processes),
        "objects": sum(ours.values()),
        "kept for clients": kept,
        "in_use_bytes": in_use_bytes,
        "memory_bytes": process.memory_full_info().uss,
        "types": dict(types),
        "ended": {
            sample.labels["reason"]: int(sample.value)
            for sample in next(iter(server.metrics.ended.collect())).samples
            if sample.name.endswith("_total")
        },
    }


async def start_threads(server: ServerState) -> None:
    """Have each pool of threads as large as it may become, so that those that it starts late are not taken for more."""
    loop = asyncio.get_running_loop()
    others = ThreadPoolExecutor(_OTHER_THREADS)
    loop.set_default_executor(others)
    for executor, threads in ((server.store_calls, STORE_THREADS), (others, _OTHER_THREADS)):
        meeting = threading.Barrier(threads)
        await asyncio.gather(*(loop.run_in_executor(executor, meeting.wait) for _ in range(threads)))


def _stored(server: ServerState, folder: Path) -> dict[str, int]:
    while server.left_behind.forget_oldest():
        pass
    # Each change sweeps out what has expired.
    server.session_store.drop("nobody")
    server.blob_store.drop_owner("nobody")
    return {
        "states": len(list(server.session_store)),
        "blobs": sum(path.suffix == ".blob" for path in (folder / "blobs").iterdir()),
        "files of stores": _files(folder / "sessions") + _files(folder / "blobs"),
        "temporary files": _files(folder / "tmp"),
    }


def _files(folder: Path) -> int:
    return sum(path.name != ".lock" for path in folder.iterdir())


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--idle-seconds", type=int, required=True)
    parser.add_argument("--leak-bytes", type=int, default=0, help="kept of each stream, to show that it is seen")
    arguments = parser.parse_args()
    # The benchmark does not read 2.4 MB for long to be found too slow.
    session_post.SLOW_READER_S = _SLOW_READER_S
    clock = StoreClock()
    app = build(arguments.folder, arguments.name, workers=arguments.workers, idle_s=arguments.idle_seconds, clock=clock)
    server: ServerState = app.state.server_state
    if arguments.leak_bytes:
        app.add_middleware(Leaking, leak_bytes=arguments.leak_bytes)

    async def tell() -> dict[str, Any]:
        return await holdings(server, arguments.folder, clock)

    async def prepare() -> None:
        await start_threads(server)

    # Before the page, which answers whatever is left.
    app.router.routes[:0] = [APIRoute("/holdings", tell), APIRoute("/prepare", prepare)]
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    build_server(app, host="127.0.0.1", port=0, log_level="error").run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())

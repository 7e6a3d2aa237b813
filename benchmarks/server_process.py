"""A server in a process of its own, as the benchmarks see it: its address, its CPU time, its memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.05


class ServerProcess:
    """A running server. ``port``: where it listens on loopback."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def stream_url(self) -> str:
        """Address of the WebSocket."""
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    async def line(self) -> dict[str, Any]:
        """The next JSON line that the server prints."""
        return await _line(self._process)

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        self._process.kill()

    def drain(self) -> None:
        """Tell it to end, with SIGTERM."""
        self._process.terminate()

    async def ended(self) -> int:
        """Wait for its end: its exit code."""
        return await self._process.wait()

    async def ready(self) -> None:
        """Wait until it has a worker."""
        await asyncio.wait_for(_ready(self._process, self.port), START_TIMEOUT_S)

    def cpu_s(self) -> float:
        """CPU seconds that the server has used, all threads together."""
        if platform.system() == "Linux":
            # The kernel's clock id of another process (clock_getcpuclockid), which has nanoseconds where psutil has
            # hundredths of a second.
            return time.clock_gettime(~self._process.pid << 3 | 2)
        times = psutil.Process(self._process.pid).cpu_times()
        used_s: float = times.user + times.system
        return used_s

    def memory_bytes(self) -> int:
        """Memory that would be free if the server ended (its unique set)."""
        used: int = psutil.Process(self._process.pid).memory_full_info().uss
        return used


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    text = await process.stdout.readline()
    if not text:
        raise RuntimeError("the server ended; its messages are above")
    content: dict[str, Any] = json.loads(text)
    return content


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def module_server(
    *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[ServerProcess]:
    """``python -m arguments...``, which prints ``{"port": N}`` as its first line and JSON lines after that.

    ``environment``: variables that it gets beside ours.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        first = await asyncio.wait_for(_line(process), START_TIMEOUT_S)
        yield ServerProcess(process, first["port"])
    finally:
        await _stop(process)


@contextlib.asynccontextmanager
async def fastvideo_serve(
    config: Path,
    overrides: Sequence[str] = (),
    *,
    port: int = 0,
    environment: dict[str, str] | None = None,
    log_file: Path | None = None,
) -> AsyncIterator[tuple[ServerProcess, float]]:
    """``fastvideo serve`` with a config file, and the seconds until it was ready (``/readyz`` answered 200).

    ``log_file``: what it prints is added to this file.
    """
    port = port or free_port()
    command = [str(Path(sys.executable).parent / "fastvideo"), "serve", "--config", str(config)]
    command += ["--server.host", "127.0.0.1", "--server.port", str(port), *overrides]
    with _log(log_file) as log:
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            try:
                await asyncio.wait_for(_ready(process, port), START_TIMEOUT_S)
            except (RuntimeError, TimeoutError) as error:
                log.seek(0)
                raise RuntimeError(f"{config.name} was not served:\n{log.read().decode()}") from error
            yield ServerProcess(process, port), time.monotonic() - started_s
        finally:
            await _stop(process)


def _log(path: Path | None) -> IO[bytes]:
    return tempfile.TemporaryFile() if path is None else path.open("a+b")


async def _ready(process: asyncio.subprocess.Process, port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(_POLL_S)
    raise RuntimeError(f"the server ended with code {process.returncode}")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port

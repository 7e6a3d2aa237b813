"""``fastvideo router-serve`` in a process of its own, before servers that run already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, Any

import httpx

from benchmarks.server_process import ROOT, START_TIMEOUT_S, ServerProcess

_POLL_S = 0.05


@contextlib.asynccontextmanager
async def routing(
    replicas: Sequence[str], settings: dict[str, Any] | None = None, *, log: Path | None = None
) -> AsyncIterator[ServerProcess]:
    """A router, on a free port, once it takes sessions. ``settings``: further keys of its file; what it
    says goes to ``log``."""
    with tempfile.TemporaryDirectory() as folder, _opened(log or Path(folder, "log")) as said:
        config = Path(folder, "router.json")
        _write_config(config, replicas, settings or {})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fastvideo.entrypoints.cli.main", "router-serve", "--config", str(config)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        assert process.stdout is not None
        reading: asyncio.Task[bytes] | None = None
        try:
            greeting = (await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)).decode()
            address = re.search(r"http://[\w.]+:(\d+)", greeting)
            if address is None:
                raise RuntimeError("the router did not start")
            # Requests are logged there, and a full pipe would hold it up.
            reading = asyncio.create_task(process.stdout.read())
            async with httpx.AsyncClient(base_url=address[0]) as http, asyncio.timeout(START_TIMEOUT_S):
                while (await http.get("/readyz")).status_code != 200:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(_POLL_S)
            yield ServerProcess(process, int(address[1]))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            if reading is not None:
                await reading


def _opened(log: Path) -> IO[bytes]:
    return log.open("wb")


def _write_config(path: Path, replicas: Sequence[str], settings: dict[str, Any]) -> None:
    quick = {"host": "127.0.0.1", "port": 0, "drain_timeout_seconds": 0.1}
    path.write_text(json.dumps({"router": {**quick, **settings, "replicas": [{"url": url} for url in replicas]}}))

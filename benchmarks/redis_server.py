"""A real redis-server of one's own, on a free port of loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.01


class RedisServer:
    """Runs from ``with`` to its end, and between :meth:`start` and :meth:`stop`; always on the same ``port``.

    ``keeps``: what it was told is there again when it starts again; else it starts empty.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError(
                "found no redis-server; scripts/test installs it, or use your system's package 'redis-server'"
            )
        self._program = program
        self._append_only = "yes" if keeps else "no"
        self._folder = tempfile.TemporaryDirectory(prefix="fastvideo-redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError when it does not."""
        for _ in range(5):
            # Between finding a port and using it somebody else may take it.
            port = self.port or _free_port()
            self._process = self._started(port)
            if self._answers(port):
                self.port = port
                return
            self.stop()
        log = Path(self._folder.name, "log").read_text(errors="replace")
        raise RuntimeError(f"redis-server did not start: {log[-2000:]}")

    def stop(self) -> None:
        """End it at once, as when it is killed."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def _started(self, port: int) -> subprocess.Popen[bytes]:
        with open(Path(self._folder.name, "log"), "ab") as log:
            return subprocess.Popen(
                [
                    *(self._program, "--port", str(port), "--bind", "127.0.0.1", "--dir", self._folder.name),
                    *("--save", "", "--appendonly", self._append_only, "--daemonize", "no"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _answers(self, port: int) -> bool:
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(7) == b"+PONG\r\n":
                        # Another server that had the port first would answer too, and ours would have ended.
                        return self._process.poll() is None
            except OSError:
                pass
            time.sleep(_POLL_S)
        return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

"""The process around the app: its socket, its signals, and its end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG
from uvicorn.server import HANDLED_SIGNALS

from fastvideo.entrypoints.access.access_control import AccessControl
from fastvideo.entrypoints.access.addresses import is_loopback
from fastvideo.entrypoints.json_log import JSON_LOGGING
from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.listening import bind, cannot_listen, greeting, open_to_all
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.start_failure import StartFailure
from fastvideo.entrypoints.streaming.transport import transport

__all__ = ["TEARDOWN_S", "StreamServer", "bind", "build_server", "serve"]

logger = logging.getLogger(__name__)

# For the pool, the model and the interpreter, once no session is left.
TEARDOWN_S = 10.0


class StreamServer(uvicorn.Server):
    """A uvicorn server that drains at SIGTERM and SIGINT; a second signal ends the process at once.

    ``greeting`` is printed when the first signal would be answered so. ``ends_process``: nothing outlives this server,
    so that the process is ended when its teardown hangs.
    """

    def __init__(
        self, config: uvicorn.Config, state: ServerState, *, greeting: str | None = None, ends_process: bool = False
    ) -> None:
        super().__init__(config)
        self._state = state
        self._greeting = greeting
        self._ends_process = ends_process
        self._signalled = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own would raise the signal again at the end, and the exit code would tell of a violent death.
        self.should_exit = self._signalled = self._state.draining = True
        for each in HANDLED_SIGNALS:
            # The kernel's business from here on: it also ends a process that hangs.
            signal.signal(each, signal.SIG_DFL)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._greeting is not None:
            print(self._greeting, flush=True)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._state.start_failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # While uvicorn still answers: health is asked, and sessions are ended by us before it cuts their connections.
        await drain(self._state, self._state.streaming.drain_timeout_seconds)
        if self._signalled and self._ends_process:
            last = threading.Timer(TEARDOWN_S, _end_process)
            last.daemon = True
            last.start()
        await super().shutdown(sockets)


def _end_process() -> None:
    # All that clients were promised is done.
    logger.error("the teardown took longer than %g s; the process ends without it", TEARDOWN_S)
    os._exit(0)


def build_server(
    app: FastAPI,
    *,
    host: str,
    port: int,
    log_level: str = "info",
    greeting: str | None = None,
    ends_process: bool = False,
) -> StreamServer:
    """The process around the app, with the transport settings that the stream needs; port 0 takes a free one."""
    state: ServerState = app.state.server_state
    log_config = JSON_LOGGING if _logs_json(state) else LOGGING_CONFIG
    config = transport(app, host=host, port=port, log_level=log_level, log_config=log_config)
    return StreamServer(config, state, greeting=greeting, ends_process=ends_process)


def _logs_json(state: ServerState) -> bool:
    return state.serve_config.server.log_format == "json"


def serve(app: FastAPI, title: str, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, and drain; prints one line with ``title`` and the page's address.

    Raises StartFailure when another program listens on the port, or no worker could start.
    """
    host, port = listener.getsockname()[:2]
    access: AccessControl = app.state.access
    if not access.required and not is_loopback(host):
        warning = open_to_all(host, port)
        if _logs_json(app.state.server_state):
            logger.warning("%s", warning)
        else:
            print(warning, file=sys.stderr, flush=True)
    server = build_server(app, host=host, port=port, greeting=greeting(title, listener), ends_process=True)
    try:
        # From here on a client that reads the address can connect, and waits until the app has started.
        listener.listen(server.config.backlog)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    server.run(sockets=[listener])
    failure = app.state.server_state.start_failure
    if failure is not None:
        raise StartFailure(failure)

"""The router's process: its socket, its signals, and its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.server import HANDLED_SIGNALS

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.access.addresses import is_loopback
from fastvideo.entrypoints.streaming.listening import bind, cannot_listen, greeting
from fastvideo.entrypoints.streaming.router.config import RouterConfig
from fastvideo.entrypoints.streaming.router.open_doors import watch_open_doors
from fastvideo.entrypoints.streaming.router.relay_protocol import RelayProtocol
from fastvideo.entrypoints.streaming.router.state import RouterState
from fastvideo.entrypoints.streaming.router.tls import TlsFault, load_certificate, replica_context, serving_context
from fastvideo.entrypoints.streaming.start_failure import StartFailure
from fastvideo.entrypoints.streaming.transport import transport

logger = logging.getLogger(__name__)


class RouterServer(uvicorn.Server):
    """A uvicorn server that drains at SIGTERM and SIGINT, and reads its config again at SIGHUP.

    A second SIGTERM or SIGINT ends the process at once. ``tls``: what it shows its clients a certificate with.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        router: RouterState,
        *,
        words: str,
        reload: Callable[[], RouterConfig] | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(config)
        self._tls = tls
        self._router = router
        self._words = words
        self._reload = reload
        self._reloading: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = self._router.draining = True
        for each in HANDLED_SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._reload is not None and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._begin_reload, self._reload)
        print(self._words, flush=True)
        await super().startup(sockets)
        if not is_loopback(self.config.host):
            watch = watch_open_doors(self._router, self.config.host, self.config.port)
            self._watching = asyncio.create_task(watch, name="open doors")
            self._watching.add_done_callback(_note_end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # While uvicorn still answers: sessions are ended by us before it cuts their connections.
        if self._watching is not None:
            self._watching.cancel()
        await self._router.drain()
        await super().shutdown(sockets)

    def _begin_reload(self, reload: Callable[[], RouterConfig]) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._read_again(reload))

    async def _read_again(self, reload: Callable[[], RouterConfig]) -> None:
        try:
            config = await asyncio.to_thread(reload)
            if self._tls is not None and config.tls is not None:
                await asyncio.to_thread(serving_context, config.tls)
            self._router.reload(config)
            if self._tls is not None and config.tls is not None:
                # One that was renewed, before it runs out.
                load_certificate(self._tls, config.tls)
        except (ConfigValidationError, TlsFault, ValueError, OSError) as error:
            logger.error("the config was not taken over: %s", error)
            return
        logger.info("the config was read again: %d replicas", len(config.replicas))


def _note_end(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled() and (error := watching.exception()) is not None:
        logger.error("whether replicas ask for keys is not looked at any more", exc_info=error)


def build_server(
    app: FastAPI, listener: socket.socket, *, reload: Callable[[], RouterConfig] | None = None, log_level: str = "info"
) -> RouterServer:
    """The server around a router's app, on a socket that is bound; ``run(sockets=[listener])`` runs it.

    Raises StartFailure when its certificate, or those of authorities, cannot be used.
    """
    host, port = listener.getsockname()[:2]
    router: RouterState = app.state.router_state
    try:
        tls = serving_context(router.config.tls) if router.config.tls is not None else None
        replica_context(router.config.replica_ca_file)
    except TlsFault as fault:
        raise StartFailure(str(fault)) from fault
    config = transport(
        app,
        host=host,
        port=port,
        protocol=RelayProtocol,
        tls=tls,
        date_header=False,
        log_level=log_level,
    )
    words = greeting("fastvideo router", listener, secure=tls is not None)
    return RouterServer(config, router, words=words, reload=reload, tls=tls)


def run_router(config: RouterConfig, *, reload: Callable[[], RouterConfig] | None = None) -> None:
    """Serve on ``config.host`` and ``config.port`` until SIGTERM or SIGINT. ``reload`` gives a new config at SIGHUP.

    Prints one line with the address. Raises StartFailure when it cannot listen there, or cannot use a certificate.
    """
    from fastvideo.entrypoints.streaming.router.main import build_router_app

    with bind(config.host, config.port) as listener:
        server = build_server(build_router_app(config), listener, reload=reload)
        try:
            listener.listen(server.config.backlog)
        except OSError as error:
            raise cannot_listen(config.host, config.port, error) from error
        server.run(sockets=[listener])

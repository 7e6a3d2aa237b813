"""uvicorn's settings for everything that carries streams: servers, and the router before them."""

from __future__ import annotations

import ssl
from typing import Any

import uvicorn

from fastvideo.entrypoints.streaming.request_log import hide_queries
from fastvideo.entrypoints.streaming.websocket_protocol import MAX_OPENING_BYTES, StreamProtocol


def transport(
    app: Any,
    *,
    host: str,
    port: int,
    protocol: type[StreamProtocol] = StreamProtocol,
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> uvicorn.Config:
    """A config whose WebSockets speak ``protocol``, with https if there is ``tls``; ``settings`` are uvicorn's own."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ws=protocol,
        ws_max_size=MAX_OPENING_BYTES,
        # Coded media does not compress; deflating it costs most of a core.
        ws_per_message_deflate=False,
        # Who a client is, we work out ourselves: only proxies that are named are believed.
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
        server_header=False,
        ssl_context_factory=None if tls is None else lambda config, default: tls,
        **settings,
    )
    # Once uvicorn has set its loggers up.
    hide_queries()
    return config

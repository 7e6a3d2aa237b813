"""A server with our transport and nothing behind it: it echoes text, and sends as much as it is asked for.

``{"count": 100, "bytes": 156250}`` is answered with that many binary messages, as fast as they are read, and then with
the same text. Prints ``{"port": N}``.
"""

from __future__ import annotations

import json
import socket
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from fastvideo.entrypoints.streaming.websocket_protocol import MAX_OPENING_BYTES, StreamProtocol


def build_app() -> FastAPI:
    """The application, with the health routes that a router asks."""
    app = FastAPI()

    @app.get("/health")
    @app.get("/readyz")
    async def fine() -> dict[str, str]:
        return {"status": "ready"}

    @app.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive_text()
                if text.startswith('{"count"'):
                    order = json.loads(text)
                    media = bytes(order["bytes"])
                    for _ in range(order["count"]):
                        await websocket.send_bytes(media)
                # A long message is only acknowledged: what it costs is the way to here.
                await websocket.send_text(text[:1000])
        except WebSocketDisconnect:
            return

    return app


def main() -> int:
    config = uvicorn.Config(
        build_app(),
        ws=StreamProtocol,
        ws_max_size=MAX_OPENING_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
    )
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())

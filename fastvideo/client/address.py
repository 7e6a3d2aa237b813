"""Where a server is: its own address, and that of its stream."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_SOCKETS = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """``http_url``: what paths such as ``/v1/videos`` are added to; ``stream_url``: the WebSocket."""

    http_url: str
    stream_url: str

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Read ``http://host:port`` or ``https://host/path``; a ``/v1`` at the end may be there. Raises ValueError."""
        parts = urlsplit(text)
        if parts.scheme not in _SOCKETS or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"expected a server's address such as http://127.0.0.1:8000, got {text!r}")
        if parts.username is not None:
            raise ValueError("expected an address without a name and password; an API key goes into api_key")
        path = parts.path.rstrip("/").removesuffix("/v1")
        return cls(
            f"{parts.scheme}://{parts.netloc}{path}", f"{_SOCKETS[parts.scheme]}://{parts.netloc}{path}/v1/stream"
        )

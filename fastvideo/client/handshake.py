"""Opening a stream's WebSocket, and what a server says that does not let a client in."""

from __future__ import annotations

import os

from pydantic import BaseModel, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.http11 import Response

from fastvideo.client.errors import StreamClosed, StreamError, stream_error
from fastvideo.entrypoints.streaming.protocol import ErrorMessage

# A snapshot is at most 40 MB of JSON.
MAX_MESSAGE_BYTES = 64 << 20
OPEN_TIMEOUT_S = 10.0
API_KEY_VARIABLE = "FASTVIDEO_API_KEY"


def key_to_show(api_key: str | None) -> str | None:
    """The key that was given, else the one of the environment, if there is one."""
    return api_key if api_key is not None else os.environ.get(API_KEY_VARIABLE) or None


async def open_socket(url: str, open_timeout_s: float, api_key: str | None) -> ClientConnection:
    """A connection to a stream's address; raises OSError, TimeoutError and websockets' InvalidHandshake."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key is not None else None
    return await connect(
        url, compression=None, max_size=MAX_MESSAGE_BYTES, open_timeout=open_timeout_s, additional_headers=headers
    )


async def first_socket(url: str, open_timeout_s: float, api_key: str | None) -> ClientConnection:
    """The same, with our errors: StreamError for a server that refuses, StreamClosed for what is no stream's server."""
    try:
        return await open_socket(url, open_timeout_s, api_key)
    except InvalidStatus as error:
        raise _refused(error.response) or StreamClosed(1006, f"{url}: {error}", None) from error
    except InvalidHandshake as error:
        raise StreamClosed(1006, f"{url}: {error}", None) from error


def _refused(response: Response) -> StreamError | None:
    """What a server says that does not let this client in; None for an answer that is no such thing."""
    if response.status_code not in (401, 403):
        return None
    try:
        said = _Refusal.model_validate_json(response.body or b"").error.message
    except ValidationError:
        said = f"The server answered with HTTP {response.status_code}."
    return stream_error(ErrorMessage(code="session_rejected", message=said, reason="unauthorized"))


class _Said(BaseModel):
    message: str


class _Refusal(BaseModel):
    error: _Said

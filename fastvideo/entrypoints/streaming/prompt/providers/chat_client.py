"""The one module here that speaks HTTP: posts a question, gives back the body of the answer."""

from __future__ import annotations

import asyncio
import functools
import ssl
import time

import httpx

from fastvideo import __version__
from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMProviderError,
    LLMProviderMisconfigured,
    LLMTimeoutError,
)
from fastvideo.entrypoints.streaming.prompt.providers.retry_after import retry_after_s

MAX_BODY_BYTES = 1 << 20
# Segments are seconds apart; a connection that is set up anew each time would cost a TLS handshake each.
KEEP_ALIVE_S = 90.0
MAX_CONNECTIONS = 64
BUSY_AGAIN_S = 1.0
BROKEN_AGAIN_S = 0.25


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates that this process trusts; reading them takes some 20 ms of CPU, and every client needs them."""
    return httpx.create_ssl_context()


class ChatClient:
    """Connections to providers, reused from question to question. It belongs to one event loop; close it at the end."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S)
        headers = {
            "Accept": "application/json",
            # A bound on what is read is a bound on what it becomes only while nothing is compressed.
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"fastvideo/{__version__}",
        }
        # Each post has one deadline for all its phases, in place of httpx's time-out for each. Redirects are not
        # followed: the key is for the operator's URL and no other.
        self._http = httpx.AsyncClient(
            timeout=None,  # noqa: S113
            follow_redirects=False,
            limits=limits,
            verify=_trusted(),
            headers=headers,
        )

    async def post(self, url: str, body: bytes, *, api_key: str | None, provider: str, timeout_s: float) -> bytes:
        """The body of a 200, at most 1 MiB. Raises LLMProviderError; ``provider`` is its name in the sentence.

        ``api_key`` holds what a header may hold.
        """
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._http.stream("POST", url, content=body, headers=headers) as response,
            ):
                # What an error says is not read: it may repeat the key or the prompt.
                _check_status(response, provider)
                return await _read(response, provider)
        except TimeoutError:
            raise LLMTimeoutError(f"{provider} did not answer within {timeout_s * 1000:.0f} ms") from None
        except httpx.HTTPError as error:
            raise LLMProviderError(
                f"{provider} could not be reached, or broke off ({type(error).__name__})", retry_after_s=BROKEN_AGAIN_S
            ) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def _check_status(response: httpx.Response, provider: str) -> None:
    status = response.status_code
    if status == 200:
        return
    wait_s = retry_after_s(response.headers.get("Retry-After"), time.time())
    answered = f"{provider} answered with HTTP status {status}"
    if status == 429:
        again_s = BUSY_AGAIN_S if wait_s is None else wait_s
        raise LLMProviderError(f"{answered}: too many requests", reason="rate_limited", retry_after_s=again_s)
    if status >= 500:
        raise LLMProviderError(answered, retry_after_s=BROKEN_AGAIN_S if wait_s is None else wait_s)
    if status in (401, 403):
        raise LLMProviderMisconfigured(f"{answered}: check its key")
    if status == 404:
        raise LLMProviderMisconfigured(f"{answered}: check its URL and the model's name")
    if 300 <= status < 400:
        raise LLMProviderMisconfigured(f"{answered}, a redirect, which is not followed: give the final URL")
    raise LLMProviderError(answered, retryable=False, reason="rejected")


async def _read(response: httpx.Response, provider: str) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise LLMProviderError(f"{provider} sent a compressed answer, unasked", reason="malformed")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise LLMProviderError(f"{provider} answered with more than {MAX_BODY_BYTES} bytes", reason="malformed")
    return bytes(body)

"""HTTP requests to a server, with its refusals as errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from fastvideo.client.address import ServerAddress
from fastvideo.client.errors import RequestBusy, RequestKeyRefused, RequestRefused, ServerUnreachable

if TYPE_CHECKING:
    import httpx

_BUSY = frozenset({429, 503})


class HttpDoor:
    """The HTTP side of one server. Nothing is connected before the first request; redirects are not followed.

    ``timeout_s``: how long a connection, or a pause between two parts of an answer, may take.
    """

    def __init__(self, address: ServerAddress, api_key: str | None, timeout_s: float) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key is not None else {}
        self._timeout_s = timeout_s
        self._opened: httpx.AsyncClient | None = None

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        waits: bool = False,
    ) -> bytes:
        """The body of a successful answer. ``waits``: it comes when the work is done, however long that takes.

        Raises ServerUnreachable and RequestRefused.
        """
        async with self.stream(method, path, body=body, query=query, headers=headers, waits=waits) as answer:
            with _reachable(self.address):
                return await answer.aread()

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        waits: bool = False,
    ) -> AsyncIterator[httpx.Response]:
        """A successful answer, to be read in parts within :meth:`reachable`; raises as :meth:`fetch` does."""
        client = self._client()
        timeout = {"timeout": None} if waits else {}
        request = client.build_request(method, path, json=body, params=query, headers=headers, **timeout)
        with _reachable(self.address):
            answer = await client.send(request, stream=True)
        try:
            if not answer.is_success:
                with _reachable(self.address):
                    await answer.aread()
                raise _refusal(answer)
            yield answer
        finally:
            await answer.aclose()

    def reachable(self) -> contextlib.AbstractContextManager[None]:
        """While an answer is read: a connection that breaks is ServerUnreachable."""
        return _reachable(self.address)

    async def close(self) -> None:
        """Close its connections."""
        if self._opened is not None:
            await self._opened.aclose()

    def _client(self) -> httpx.AsyncClient:
        if self._opened is None:
            # Loaded for those alone who make requests.
            import httpx

            self._opened = httpx.AsyncClient(
                base_url=self.address.http_url, headers=self._headers, timeout=self._timeout_s
            )
        return self._opened


@contextlib.contextmanager
def _reachable(address: ServerAddress) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        what = str(error) or type(error).__name__
        raise ServerUnreachable(
            f"expected a fastvideo server at {address.http_url}, got: {what}. Is it running, and is the address right?"
        ) from error


def _refusal(answer: httpx.Response) -> RequestRefused:
    status = answer.status_code
    try:
        said = _Refusal.model_validate_json(answer.content).error
    except ValidationError:
        # Of a proxy, or of a route that is not of this API.
        said = _Said(message=f"The server answered with HTTP {status}.")
    if status in (401, 403):
        return RequestKeyRefused(status, said.message, said.code, said.param)
    if status in _BUSY:
        busy = RequestBusy(status, said.message, said.code, said.param)
        busy.retry_after_s = _seconds(answer.headers.get("retry-after"))
        return busy
    return RequestRefused(status, said.message, said.code, said.param)


class _Said(BaseModel):
    message: str
    code: str | None = None
    param: str | None = None


class _Refusal(BaseModel):
    error: _Said


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None

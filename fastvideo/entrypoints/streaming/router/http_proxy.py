"""The page and what it fetches, passed on to a replica and back as it comes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from fastvideo.entrypoints.streaming.router.forwarded import end_to_end, for_replica
from fastvideo.entrypoints.streaming.router.registry import Replica
from fastvideo.entrypoints.streaming.router.session_list import list_sessions
from fastvideo.entrypoints.streaming.router.state import RouterState
from fastvideo.entrypoints.streaming.router.tls import replica_context

READ_TIMEOUT_S = 60.0
_SESSION = re.compile(r"/v1/sessions/([A-Za-z0-9._-]{1,128})(?:/.*)?")
_LIST = "/v1/sessions"
# The one thing that is asked for with a body, which may be empty and is not passed on.
_TOKENS = "/v1/stream/tokens"
# What replicas serve for viewers. Their health, status and metrics are for operators, who ask them directly.
_PASSED = ("/v1/", "/js/", "/css/", "/assets/")


def build_http_client(ca_file: str | None = None) -> httpx.AsyncClient:
    """A client for :class:`HttpProxy`; its maker closes it. Raises TlsFault when ``ca_file`` cannot be used."""
    limits = httpx.Limits(max_keepalive_connections=64)
    return httpx.AsyncClient(verify=replica_context(ca_file), trust_env=False, follow_redirects=False, limits=limits)


class HttpProxy:
    """Answers requests with a replica's answers. A session's own paths go to the replica that has it."""

    def __init__(self, router: RouterState, client: httpx.AsyncClient) -> None:
        self._router = router
        self._client = client

    async def answer(self, request: Request) -> Response:
        """GET, HEAD and OPTIONS of the page and below /v1/; DELETE of a session; POST for a stream token. Everything
        else is 404 or 405."""
        # Decoded: what a replica, or a proxy before it, may make of the path counts.
        path: str = request.scope["path"]
        if not (path == "/" or path.startswith(_PASSED)) or ".." in path.split("/") or "\\" in path:
            return self._counted(_error(404, "not_found", "There is no such path."))
        session = _SESSION.fullmatch(path)
        allowed = {"GET", "HEAD", "OPTIONS"} | ({"DELETE"} if session else {"POST"} if path == _TOKENS else set())
        if request.method not in allowed:
            return self._counted(_error(405, "method_not_allowed", "This method is not passed on."))
        if path == _LIST and request.method == "GET":
            return self._counted(await self._list(request))
        tried: set[Replica] = set()
        unknown: Response | None = None
        while (replica := self._choose(session[1] if session else None, tried)) is not None:
            tried.add(replica)
            try:
                answered = await self._ask(replica, request)
            except httpx.ConnectError as error:
                # Nothing was sent, so another one may be asked.
                await self._router.registry.record_failure(
                    replica, failure_threshold=self._router.config.failure_threshold, reason=type(error).__name__
                )
            except httpx.TimeoutException:
                return self._counted(_error(504, "upstream_timeout", "The replica did not answer in time."))
            except httpx.HTTPError:
                return self._counted(_error(502, "upstream_failed", "The connection to the replica was lost."))
            else:
                if session is None or answered.status_code != 404:
                    return self._counted(_passed_on(answered))
                # Another one may know it: this router has not seen every session.
                unknown = _passed_on(answered, b"".join([chunk async for chunk in _body(answered)]))
        if unknown is not None:
            return self._counted(unknown)
        return self._counted(_error(503, "no_healthy_replica", "No healthy replica is available."))

    async def _list(self, request: Request) -> Response:
        """Recordings of all replicas. Those that did not answer are named: nobody shall take a part for the whole."""

        async def ask(replica: Replica, path: str, query: Mapping[str, str]) -> httpx.Response:
            return await self._send(replica, request, path.encode(), urlencode(query).encode())

        found = await list_sessions(
            self._router.registry.all(),
            request.query_params,
            ask,
            timeout_s=self._router.config.health_check_timeout_seconds,
        )
        answer = found.answer
        if answer is None:
            return _error(503, "no_healthy_replica", "No replica answered.")
        if found.page is None:
            return Response(answer.body, answer.status, answer.headers, media_type="application/json")
        for recording_id, replica in found.homes.items():
            if self._router.sticky.find("session", recording_id) is None:
                self._router.sticky.remember("session", recording_id, replica.url)
        listed: dict[str, Any] = {"sessions": [entry.all for entry in found.page.entries], "more": found.page.more}
        if found.unanswered:
            names = self._router.registry.all()
            listed["unanswered"] = [
                replica.endpoint.name or f"replica {names.index(replica) + 1}" for replica in found.unanswered
            ]
        return JSONResponse(listed, headers=answer.headers)

    def _choose(self, session_id: str | None, tried: set[Replica]) -> Replica | None:
        registry = self._router.registry
        address = self._router.sticky.find("session", session_id) if session_id is not None else None
        home = registry.get(address) if address is not None else None
        return home if home is not None and home not in tried else registry.select(tried)

    async def _ask(self, replica: Replica, request: Request) -> httpx.Response:
        raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        return await self._send(replica, request, raw_path, request.scope["query_string"])

    async def _send(self, replica: Replica, request: Request, raw_path: bytes, query: bytes) -> httpx.Response:
        config = self._router.config
        headers = for_replica(
            request.headers.items(),
            peer=request.client.host if request.client else None,
            scheme=request.url.scheme,
            trusted_proxies=config.trusted_proxies,
        )
        asked = httpx.Request(
            request.method,
            httpx.URL(replica.url).copy_with(raw_path=raw_path + (b"?" + query if query else b"")),
            headers=headers,
            extensions={
                "timeout": {
                    "connect": config.connect_timeout_seconds,
                    "read": READ_TIMEOUT_S,
                    "write": READ_TIMEOUT_S,
                    "pool": READ_TIMEOUT_S,
                }
            },
        )
        return await self._client.send(asked, stream=True)

    def _counted(self, response: Response) -> Response:
        self._router.metrics.requests.labels(str(response.status_code)).inc()
        return response


def _passed_on(answered: httpx.Response, body: bytes | None = None) -> Response:
    """The replica's answer, with ``body`` in the place of what would be read of it."""
    status = answered.status_code
    response = StreamingResponse(_body(answered), status) if body is None else Response(body, status)
    response.raw_headers = [
        (key.lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in end_to_end(answered.headers.multi_items())
    ]
    return response


async def _body(answered: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answered.aiter_raw():
            yield chunk
    finally:
        await answered.aclose()


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)

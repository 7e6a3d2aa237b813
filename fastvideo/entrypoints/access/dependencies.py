"""What routes declare to be closed to strangers: ``caller: Client`` or ``caller: Admin`` among their arguments."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from fastvideo.api.errors import QuotaExceeded
from fastvideo.entrypoints.access.access_control import AccessControl
from fastvideo.entrypoints.access.caller import AccessRefused, Caller
from fastvideo.entrypoints.access.quotas import Quotas

__all__ = ["Admin", "Client", "HostCheck", "admin_caller", "client_caller", "install_access"]


def install_access(app: FastAPI, access: AccessControl, quotas: Quotas | None = None) -> None:
    """Have the routes of ``app`` ask this access control, and count their requests. Refusals are answered: to HTTP
    requests with an error, to WebSockets with the same before they are accepted."""
    app.state.access = access
    app.state.quotas = quotas or Quotas()
    app.exception_handler(AccessRefused)(_refuse)
    app.exception_handler(QuotaExceeded)(_too_much)
    if access.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=access.allowed_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "range"],
        )


class HostCheck:
    """Middleware that answers what asks for a route below ``/v1`` by a name that is not the server's: with 403, a
    WebSocket before it is accepted. Health stays open to probes, which ask by any name."""

    def __init__(self, app: ASGIApp, access: AccessControl) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] not in ("http", "websocket") or not f"{path}/".startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        connection = WebSocket(scope, receive, send) if scope["type"] == "websocket" else Request(scope)
        try:
            self._access.check_host(connection)
        except AccessRefused as refusal:
            # In the form of the OpenAI-style API, which has two fields more than that of the other routes.
            response = await _refuse(connection, refusal, {"type": "invalid_request_error", "param": None})
            if response is not None:
                await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def client_caller(connection: HTTPConnection) -> Caller:
    """Who asks; raises AccessRefused unless they may use what is for clients, QuotaExceeded (429) for an HTTP request
    too many."""
    access: AccessControl = connection.app.state.access
    caller = access.client(connection)
    if connection.scope["type"] == "http":
        quotas: Quotas = connection.app.state.quotas
        quotas.take_message(caller, time.monotonic())
    return caller


async def admin_caller(connection: HTTPConnection) -> Caller:
    """Who asks; raises AccessRefused unless they may use what is for operators."""
    access: AccessControl = connection.app.state.access
    return access.admin(connection)


Client = Annotated[Caller, Depends(client_caller)]
Admin = Annotated[Caller, Depends(admin_caller)]


async def _refuse(
    connection: HTTPConnection, refusal: Exception, more: Mapping[str, str | None] | None = None
) -> Response | None:
    assert isinstance(refusal, AccessRefused)
    headers = {"cache-control": "no-store"}
    if refusal.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = {"error": {"code": "unauthorized", "message": refusal.message, **(more or {})}}
    response = JSONResponse(body, refusal.status, headers)
    if not isinstance(connection, WebSocket):
        return response
    if "websocket.http.response" in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        # Before the handshake is complete, a close is an answer of 403.
        await connection.close()
    return None


async def _too_much(request: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, QuotaExceeded)
    message = f"Too much at once: {error}."
    body = {"error": {"code": "rate_limited", "message": message, "retry_after": round(error.retry_after_s, 1)}}
    return JSONResponse(body, 429, {"retry-after": str(math.ceil(error.retry_after_s)), "cache-control": "no-store"})

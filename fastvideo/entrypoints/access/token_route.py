"""``POST /v1/stream/tokens``: a token for a page, which can send no key with its WebSocket."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fastvideo.entrypoints.access.access_control import STREAM_SUBPROTOCOL, TOKEN_SUBPROTOCOL, AccessControl
from fastvideo.entrypoints.access.dependencies import Client


def token_route() -> APIRouter:
    """The route; its app has access control installed."""
    router = APIRouter()

    @router.post("/v1/stream/tokens")
    async def stream_token(request: Request, caller: Client) -> Response:
        access: AccessControl = request.app.state.access
        if not access.required:
            body = {"error": {"code": "not_offered", "message": "This server asks for no keys; connect without one."}}
            return JSONResponse(body, 404)
        token = access.issue_token(caller)
        return JSONResponse(
            {
                "token": token,
                "expires_in": access.token_seconds,
                "subprotocols": [STREAM_SUBPROTOCOL, TOKEN_SUBPROTOCOL + token],
            },
            headers={"cache-control": "no-store"},
        )

    return router

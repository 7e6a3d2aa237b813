"""``POST /v1/admin/drain``: an operator takes a server out of service; its process goes on until it is told to end."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fastvideo.entrypoints.access.dependencies import Admin
from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.server_state import ServerState

logger = logging.getLogger(__name__)


def drain_route(server: ServerState) -> APIRouter:
    """The route; its app has access control installed."""
    router = APIRouter()

    @router.post("/v1/admin/drain")
    async def begin(caller: Admin) -> Response:
        if server.drain_task is None:
            # Before the answer, so that nobody is let in after it.
            server.draining = True
            server.drain_task = asyncio.create_task(_drain(server))
            logger.info("an operator had the server drain")
        return JSONResponse({"status": "draining", "sessions": len(server.sessions)}, 202)

    return router


async def _drain(server: ServerState) -> None:
    try:
        await drain(server, server.streaming.drain_timeout_seconds)
    except Exception:
        logger.exception("the drain failed")

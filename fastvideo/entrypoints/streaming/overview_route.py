"""``GET /v1/admin/overview``: the sessions and workers that there are, for operators and for the page at ``/admin``."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fastvideo.entrypoints.access.dependencies import Admin
from fastvideo.entrypoints.streaming.server_state import ServerState


def overview_route(server: ServerState) -> APIRouter:
    """The route; its app has access control installed."""
    router = APIRouter()

    @router.get("/v1/admin/overview")
    async def overview(caller: Admin) -> Response:
        workers = server.pool.workers
        serving = any(worker.state in ("ready", "busy") for worker in workers)
        sessions = sorted((runner.standing for runner in server.runners.values()), key=lambda one: one.age_s)
        body = {
            "status": "draining" if server.draining else "ready" if serving or not workers else "warming",
            "model_id": server.pool.model_id,
            "max_sessions": server.streaming.max_sessions,
            "segment_cap": server.streaming.generation_segment_cap,
            "queued_sessions": server.pool.health().queued_sessions,
            "segments_waiting": server.pool.turns_waiting,
            "sessions": [asdict(session) for session in sessions],
            "workers": [asdict(worker) for worker in workers],
        }
        return JSONResponse(body, headers={"cache-control": "no-store"})

    return router

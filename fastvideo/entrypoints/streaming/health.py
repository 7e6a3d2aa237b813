"""What load balancers and people ask a server: is it alive, is it ready, and how are its workers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

SERVICE_NAME = "ltx2-streaming-backend"

_EMPTY: dict[str, Any] = {
    "total_gpus": 0,
    "available_gpus": 0,
    "queue_size": 0,
    "warmup_enabled": False,
    "warmup_successful_gpus": 0,
    "warmup_failed_gpus": 0,
    "gpu_status": {},
}


def build_health_router(
    pool: Any = None, *, draining: Callable[[], bool] | None = None, with_health: bool = True
) -> APIRouter:
    """`/healthz` and `/livez` (200 while the process lives), `/readyz` (503 unless a worker is ready), `/status`.

    `pool`: a pool, or a callable that gives it once there is one. `draining` tells that no new sessions are taken.
    `with_health` adds `/health` with the body of `/healthz`; an app that has its own leaves it out.
    """
    router = APIRouter()

    async def alive() -> dict[str, Any]:
        return {"status": "ok", "service": SERVICE_NAME, "ts": _now()}

    async def readiness() -> JSONResponse:
        status = await get_pool_status(pool)
        workers = _ready_workers(status)
        state = "ready" if workers > 0 else "warming"
        if draining is not None and draining():
            state = "draining"
        body = {
            "status": state,
            "service": SERVICE_NAME,
            "ready_gpu_workers": workers,
            "total_gpus": status["total_gpus"],
            "available_gpus": status["available_gpus"],
            "warmup_successful_gpus": status["warmup_successful_gpus"],
            "warmup_failed_gpus": status["warmup_failed_gpus"],
            "queue_size": status["queue_size"],
            "ts": _now(),
        }
        return JSONResponse(body, status_code=200 if state == "ready" else 503)

    async def workers() -> dict[str, Any]:
        return await get_pool_status(pool)

    for path in ("/healthz", "/livez", "/health") if with_health else ("/healthz", "/livez"):
        router.add_api_route(path, alive, methods=["GET"], tags=["health"])
    router.add_api_route("/readyz", readiness, methods=["GET"], tags=["health"], response_model=None)
    router.add_api_route("/status", workers, methods=["GET"], tags=["health"])
    return router


async def get_pool_status(pool: Any = None) -> dict[str, Any]:
    """The pool's own `get_status()`, else what its `health()` says, else zeros; always the same seven keys.

    `gpu_status` maps a worker's id, as text, to what is known of it; nothing is made up for a pool that has only
    `health()`.
    """
    target = pool() if callable(pool) and not _is_pool(pool) else pool
    if target is None:
        return {**_EMPTY, "gpu_status": {}}
    if hasattr(target, "get_status"):
        found = target.get_status()
        status: Mapping[str, Any] = await found if inspect.isawaitable(found) else found
        workers = {str(worker): dict(state) for worker, state in status.get("gpu_status", {}).items()}
        return {**_EMPTY, **{key: status[key] for key in _EMPTY if key in status}, "gpu_status": workers}
    health = target.health()
    return {
        **_EMPTY,
        "total_gpus": health.total_workers,
        "available_gpus": health.available_workers,
        "queue_size": health.queued_sessions,
        "gpu_status": {},
    }


def _is_pool(value: Any) -> bool:
    return hasattr(value, "get_status") or hasattr(value, "health")


def _ready_workers(status: Mapping[str, Any]) -> int:
    workers = status["gpu_status"].values()
    if workers:
        return sum(1 for worker in workers if worker.get("ready") and worker.get("process_alive"))
    if status["warmup_enabled"]:
        return int(status["warmup_successful_gpus"])
    return max(0, int(status["total_gpus"]) - int(status["warmup_failed_gpus"]))


def _now() -> str:
    return datetime.now(UTC).isoformat()

"""The router's application: its routes, and the health checks behind them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from starlette.responses import JSONResponse

import fastvideo
from fastvideo.entrypoints.access.dependencies import install_access
from fastvideo.entrypoints.streaming.router import metrics
from fastvideo.entrypoints.streaming.router.bridge import Bridge
from fastvideo.entrypoints.streaming.router.config import RouterConfig
from fastvideo.entrypoints.streaming.router.health_checks import HttpProbe, run_health_check_loop
from fastvideo.entrypoints.streaming.router.http_proxy import HttpProxy, build_http_client
from fastvideo.entrypoints.streaming.router.process import run_router
from fastvideo.entrypoints.streaming.router.registry import Replica, ReplicaRegistry
from fastvideo.entrypoints.streaming.router.state import RouterState

__all__ = ["HttpProbe", "RouterState", "build_router_app", "run_health_check_loop", "run_router"]

SERVICE_NAME = "fastvideo-router"


def build_router_app(config: RouterConfig, *, registry: ReplicaRegistry | None = None) -> FastAPI:
    """The router around these replicas. While it runs, it checks their health."""
    router = RouterState(config, registry if registry is not None else ReplicaRegistry(config.replicas))

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stop = asyncio.Event()
        checks = asyncio.create_task(
            run_health_check_loop(router.registry, lambda: router.config, stop_event=stop), name="health checks"
        )
        async with build_http_client(config.replica_ca_file) as client:
            app.state.http_proxy = HttpProxy(router, client)
            try:
                yield
            finally:
                await router.drain()
                stop.set()
                await checks

    app = FastAPI(title="fastvideo router", version=fastvideo.__version__, lifespan=lifespan, openapi_url=None)
    app.state.router_state = router
    install_access(app, router.access)
    _add_routes(app, router)
    return app


def _add_routes(app: FastAPI, router: RouterState) -> None:
    async def alive() -> dict[str, Any]:
        return {"status": "ok", "service": SERVICE_NAME, "ts": datetime.now(UTC).isoformat()}

    for path in ("/health", "/healthz", "/livez"):
        app.add_api_route(path, alive, methods=["GET"])

    @app.get("/readyz")
    async def ready() -> JSONResponse:
        takes = [replica for replica in router.registry.all() if replica.takes_sessions]
        status = "draining" if router.draining else "ready" if takes else "no_healthy_replica"
        body = {"status": status, "service": SERVICE_NAME, "ready_replicas": len(takes)}
        return JSONResponse(body, status_code=200 if status == "ready" else 503)

    @app.get("/status")
    async def status() -> dict[str, Any]:
        return {"replicas": [_described(replica) for replica in router.registry.all()]}

    @app.get("/metrics")
    async def read_metrics(request: Request) -> Response:
        router.access.admin(request)
        return Response(router.metrics.exposition(router.registry), media_type=metrics.CONTENT_TYPE)

    @app.websocket("/v1/stream")
    async def stream(websocket: WebSocket) -> None:
        task = asyncio.current_task()
        assert task is not None
        router.sessions.add(task)
        try:
            await Bridge(websocket, router).run()
        finally:
            router.sessions.discard(task)

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
    async def pass_on(request: Request) -> Response:
        proxy: HttpProxy = app.state.http_proxy
        return await proxy.answer(request)


def _described(replica: Replica) -> dict[str, Any]:
    return {
        "url": replica.url,
        "primary": replica.primary,
        "status": replica.health.status.value,
        "last_ok_at": replica.health.last_ok_at,
        "last_latency_ms": replica.health.last_latency_ms,
        "consecutive_failures": replica.health.consecutive_failures,
        "name": replica.endpoint.name,
        "weight": replica.endpoint.weight,
        "ready": replica.ready,
        "draining": replica.endpoint.drain,
        "sessions": replica.sessions,
    }

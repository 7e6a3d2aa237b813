"""The application: one composition root and its routes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response, WebSocket

import fastvideo
from fastvideo.api.errors import ConfigValidationError, EncodeError, FastVideoError
from fastvideo.api.schema import ServeConfig, StreamingConfig
from fastvideo.api.session_presets import load_session_presets
from fastvideo.entrypoints.access.access_control import AccessControl, chosen_subprotocol
from fastvideo.entrypoints.access.dependencies import Admin, Client, HostCheck, install_access
from fastvideo.entrypoints.access.quotas import Quotas
from fastvideo.entrypoints.access.state_signatures import StateSignatures
from fastvideo.entrypoints.access.token_route import token_route
from fastvideo.entrypoints.json_log import log_as_json
from fastvideo.entrypoints.streaming import metrics
from fastvideo.entrypoints.streaming.arrivals import arrive
from fastvideo.entrypoints.streaming.connection import WebSocketConnection
from fastvideo.entrypoints.streaming.drain import drain
from fastvideo.entrypoints.streaming.drain_route import drain_route
from fastvideo.entrypoints.streaming.gpu_pool import GpuPool, InProcessGpuPool
from fastvideo.entrypoints.streaming.health import build_health_router, get_pool_status
from fastvideo.entrypoints.streaming.opening import limits_on_the_wire
from fastvideo.entrypoints.streaming.overview_route import overview_route
from fastvideo.entrypoints.streaming.page import PageHeaders, mount_page
from fastvideo.entrypoints.streaming.pool_choice import usable_devices, wants_processes, worker_pool
from fastvideo.entrypoints.streaming.prompt.admin import build_prompt_admin
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate, build_gate
from fastvideo.entrypoints.streaming.recordings.recordings import Recordings
from fastvideo.entrypoints.streaming.recordings.routes import recording_routes
from fastvideo.entrypoints.streaming.segment_requests import operator_requests
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import SessionManager
from fastvideo.entrypoints.streaming.session_logger import SessionLogger
from fastvideo.entrypoints.streaming.session_store import BlobStore, SessionStore
from fastvideo.entrypoints.streaming.start_failure import no_worker, start_failures
from fastvideo.entrypoints.streaming.store_urls import open_blobs, open_stores
from fastvideo.entrypoints.streaming.stream_server import bind, build_server, serve
from fastvideo.entrypoints.streaming.tracing import Tracing, open_tracing
from fastvideo.entrypoints.streaming.warmup import Warmup
from fastvideo.entrypoints.streaming.worker import SegmentGenerator, preset_defaults
from fastvideo.media.video_coder import PRESETS, VideoCoder, choose_encoder
from fastvideo.resources import example_prompts, frontend_dir

if TYPE_CHECKING:
    from fastvideo.entrypoints.openai.door import OpenAIDoor

__all__ = ["ServerState", "build_app", "build_server", "run_server"]

logger = logging.getLogger(__name__)

REAP_INTERVAL_S = 1.0
_TRIAL_PX = 256


def build_app(
    serve_config: ServeConfig,
    generator: SegmentGenerator | None = None,
    *,
    pool: GpuPool | None = None,
    session_store: SessionStore | None = None,
    prompts: PromptGate | None = None,
    tracing: Tracing | None = None,
    live: bool = True,
) -> FastAPI:
    """The streaming server around a generator, around a pool of one's own, or around the worker processes that
    ``streaming.pool`` selects when neither is given.

    Opens the stores of ``streaming.stores``, which may wait for a disk or a network; the app closes them at its end.
    A session store of one's own, or of one's own pool, takes the place of the configured one, and is not closed.
    ``prompts`` takes the place of what ``streaming.prompt`` describes, ``tracing`` of what ``server.tracing`` does; the
    app closes both. With an ``openai`` block the OpenAI-style API is served as well, and without ``live`` nothing
    beside it.

    Raises ValueError without a ``streaming`` block, for both a generator and a pool, for neither without worker
    processes; ConfigValidationError when a generator of this process shall run in others, and for stores that cannot
    be; StoreUnavailable for one that does not answer.
    """
    streaming = serve_config.streaming
    if streaming is None:
        raise ValueError("the streaming server needs a serve config with a 'streaming' block")
    if generator is not None and streaming.pool.backend in ("subprocess", "ray"):
        raise ConfigValidationError(
            "streaming.pool.backend", "worker processes build their own generator; pass none, or use in_process"
        )
    devices = usable_devices(serve_config)
    processes = generator is None and pool is None and wants_processes(serve_config, devices)
    if not processes and (generator is None) == (pool is None):
        raise ValueError("pass either a generator or a pool, and not both")
    counters = metrics.Metrics()

    def count_rejected(reason: str) -> None:
        counters.rejected.labels(reason).inc()

    access = AccessControl(serve_config.server.auth, listens_on=serve_config.server.host, refused=count_rejected)
    if prompts is None:
        prompts = build_gate(streaming)
    if tracing is None:
        tracing = open_tracing(serve_config.server.tracing)
    given = session_store if session_store is not None else getattr(pool, "session_store", None)
    store, blob_store, close_stores = _open_stores(streaming, given)
    try:
        if processes:
            pool = worker_pool(serve_config, devices, session_store=store)
        elif pool is None:
            assert generator is not None
            pool = InProcessGpuPool(
                generator,
                session_store=store,
                config=streaming.pool,
                queue_length=streaming.queue.max_length,
                warmup=Warmup.of(serve_config, preset_defaults(generator)),
                expected_segments=streaming.generation_segment_cap,
            )
        assert pool is not None
        session_presets = load_session_presets()
    except BaseException:
        close_stores()
        raise
    server = ServerState(
        serve_config=serve_config,
        pool=pool,
        sessions=SessionManager(
            segment_cap=streaming.generation_segment_cap,
            session_timeout_seconds=streaming.session_timeout_seconds,
            max_sessions=streaming.max_sessions,
        ),
        session_store=store,
        blob_store=blob_store,
        session_presets=session_presets,
        prompts=prompts,
        signatures=StateSignatures.of(serve_config.server.snapshots),
        metrics=counters,
        tracing=tracing,
        quotas=Quotas(serve_config.server.quotas, refused=count_rejected),
        log=SessionLogger(streaming.session_log_dir),
        recordings=Recordings(streaming.recordings) if live and streaming.recordings.dir is not None else None,
    )
    door: OpenAIDoor | None = None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The pool becomes ready beside the server, so that health can be asked meanwhile.
        tasks = [
            asyncio.create_task(_logged(work))
            for work in (functools.partial(_start_pool, server), functools.partial(_reap, server))
        ]
        jobs = contextlib.AsyncExitStack()
        try:
            if door is not None:
                from fastvideo.entrypoints.openai.api_server import lifespan as jobs_lifespan

                await jobs.enter_async_context(jobs_lifespan(door))
            yield
        finally:
            if not server.draining:
                # Under another server than ours, which drains while it still answers.
                await drain(server, streaming.drain_timeout_seconds)
            await jobs.aclose()
            left = [*tasks, *server.session_tasks, *([server.drain_task] if server.drain_task else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await server.tracing.aclose()
            await server.pool.shutdown()
            await server.prompts.aclose()
            await asyncio.to_thread(server.log.close_all)
            if server.recordings is not None:
                await asyncio.to_thread(server.recordings.close)
            # Stores first: a call that waits for one ends with it.
            await asyncio.to_thread(close_stores)
            await asyncio.to_thread(server.store_calls.shutdown)

    app = FastAPI(title="fastvideo", version=fastvideo.__version__, lifespan=lifespan, openapi_url=None)
    app.state.server_state = server
    install_access(app, access, server.quotas)
    app.add_middleware(HostCheck, access=access)
    app.add_middleware(PageHeaders)
    _add_health(app, server, live=live)
    app.include_router(build_health_router(server.pool, draining=lambda: server.draining, with_health=False))
    app.include_router(drain_route(server))
    app.include_router(overview_route(server))
    if live:
        _add_routes(app, server)
        app.include_router(token_route())
        app.include_router(recording_routes(server.recordings, streaming.recordings.listing))
        app.include_router(build_prompt_admin(server.prompts))
    if serve_config.openai is not None:
        from fastvideo.entrypoints.openai.api_server import add_api

        try:
            door = add_api(app, server)
        except BaseException:
            close_stores()
            raise
    if live:
        mount_page(app, frontend_dir())
    return app


def _open_stores(
    streaming: StreamingConfig, given: SessionStore | None
) -> tuple[SessionStore, BlobStore, Callable[[], None]]:
    """The two stores, and what closes those of them that are ours."""
    config = streaming.stores
    # No session outlives its state, however long it may be idle.
    ttl_s = max(config.ttl_seconds, 2.0 * streaming.session_timeout_seconds)
    if given is None:
        stores = open_stores(config.sessions, config.blobs, ttl_s=ttl_s)
        return stores.sessions, stores.blobs, stores.close
    if config.sessions != "memory:":
        raise ConfigValidationError(
            "streaming.stores.sessions", "a session store was passed to the server as well; choose one of them"
        )
    blobs = open_blobs(config.blobs, ttl_s=ttl_s)
    return given, blobs, blobs.close


def _add_health(app: FastAPI, server: ServerState, *, live: bool) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        if not live:
            return {"status": "ok"}
        return {"status": "ok", "sessions": len(server.sessions), "stream_mode": server.streaming.stream_mode}

    @app.get("/metrics")
    async def read_metrics(caller: Admin) -> Response:
        server.metrics.sessions.set(len(server.sessions))
        server.metrics.queue.set(server.pool.health().queued_sessions)
        server.metrics.tell_workers(server.pool.workers)
        return Response(server.metrics.exposition(), media_type=metrics.CONTENT_TYPE)


def _add_routes(app: FastAPI, server: ServerState) -> None:
    @app.get("/v1/presets")
    async def presets() -> dict[str, Any]:
        return {"presets": [asdict(preset) for preset in server.session_presets.values()]}

    @app.get("/v1/info")
    async def info() -> dict[str, Any]:
        sampling = operator_requests(server.serve_config, server.pool.request_defaults).sampling
        return {
            "version": fastvideo.__version__,
            "model_id": server.pool.model_id,
            "width": sampling.width,
            "height": sampling.height,
            "fps": sampling.fps,
            "num_frames": sampling.num_frames,
            "limits": limits_on_the_wire(server.streaming.limits),
            "examples": example_prompts(),
            "features": {
                "segment_cap": server.streaming.generation_segment_cap,
                "at_cap": server.streaming.at_cap,
                "session_timeout_seconds": server.streaming.session_timeout_seconds,
                "prompt_enhancement": server.prompts.enhancer is not None,
                "recordings": server.recordings is not None,
                "keys_required": app.state.access.required,
            },
        }

    @app.websocket("/v1/stream")
    async def stream(websocket: WebSocket, caller: Client) -> None:
        task = asyncio.current_task()
        assert task is not None
        server.connections.add(task)
        try:
            await websocket.accept(chosen_subprotocol(websocket))
            await arrive(WebSocketConnection(websocket), server, caller)
        finally:
            server.connections.discard(task)


async def _logged(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception:
        logger.exception("a background task of the server failed")


async def _start_pool(server: ServerState) -> None:
    """Make the pool ready; a pool without a single worker is a failure that whoever runs the server answers."""
    try:
        await server.pool.start()
        failure = no_worker(await get_pool_status(server.pool))
    except FastVideoError as error:
        failure = str(error)
    except Exception as error:
        logger.exception("the pool could not be started")
        failure = f"the pool could not be started: {type(error).__name__}, as logged above"
    if not server.draining:
        server.start_failure = failure


async def _reap(server: ServerState) -> None:
    """End sessions that have been idle for too long."""
    while True:
        await asyncio.sleep(REAP_INTERVAL_S)
        _expire(server)


def _expire(server: ServerState) -> None:
    # Apart, so that nothing of the last one is held until the next.
    for session_id in server.sessions.reap_timed_out(server.clock()):
        if (runner := server.runners.get(session_id)) is not None:
            runner.expire()


def run_server(serve_config: ServeConfig, *, generator: SegmentGenerator | None = None, live: bool = True) -> None:
    """Serve on ``server.host`` and ``server.port`` until SIGTERM or SIGINT, and drain. ``live``: as in ``build_app``.

    Without a generator one is built: here, or in worker processes where ``streaming.pool`` asks for them.

    Raises ValueError without a ``streaming`` block, StartFailure for whatever else keeps the server from starting.
    """
    streaming = serve_config.streaming
    if streaming is None:
        raise ValueError("the streaming server needs a serve config with a 'streaming' block")
    if serve_config.server.log_format == "json":
        log_as_json()
    # A port that is taken is found before a model is loaded.
    with bind(serve_config.server.host, serve_config.server.port) as listener:
        built = None
        try:
            with start_failures():
                # Keys that cannot be read, what cannot be asked, and packages that are missing are found before a model
                # is loaded, too.
                AccessControl(serve_config.server.auth)
                StateSignatures.of(serve_config.server.snapshots)
                prompts = build_gate(streaming)
                tracing = open_tracing(serve_config.server.tracing)
                if generator is None and not wants_processes(serve_config, usable_devices(serve_config)):
                    from fastvideo.entrypoints.model_path import build_generator

                    check_encoder(streaming.encoder)
                    generator = built = build_generator(
                        serve_config.generator, pool=streaming.pool, limits=streaming.limits
                    )
                app = build_app(serve_config, generator, prompts=prompts, tracing=tracing, live=live)
            serve(app, "fastvideo", listener)
        finally:
            if built is not None and hasattr(built, "shutdown"):
                built.shutdown()


def check_encoder(name: str) -> None:
    """Raise ConfigValidationError unless the encoder that ``streaming.encoder`` names can be opened on this machine."""
    encoder = choose_encoder(name, width=_TRIAL_PX, height=_TRIAL_PX)
    try:
        VideoCoder(encoder, width=_TRIAL_PX, height=_TRIAL_PX, rate=Fraction(24), gop_frames=24, preset=PRESETS[0])
    except EncodeError as error:
        raise ConfigValidationError(
            "streaming.encoder", f"{encoder} cannot be opened on this machine; auto takes one that can, if there is any"
        ) from error

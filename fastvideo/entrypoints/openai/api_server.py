"""The HTTP API as an application: beside live streams, or alone."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import fastvideo
from fastvideo.api.schema import OpenAIConfig, ServeConfig, StreamingConfig
from fastvideo.entrypoints.openai.api_errors import ApiError
from fastvideo.entrypoints.openai.common_api import common_routes
from fastvideo.entrypoints.openai.door import OpenAIDoor, open_door
from fastvideo.entrypoints.openai.image_api import image_routes
from fastvideo.entrypoints.openai.openapi import document
from fastvideo.entrypoints.openai.state import clear_state, set_state
from fastvideo.entrypoints.openai.video_api import video_routes
from fastvideo.entrypoints.streaming.gpu_pool import GpuPool
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.worker import SegmentGenerator

_PATHS = ("/v1/videos", "/v1/images", "/v1/models", "/v1/model_info")


def add_api(app: FastAPI, server: ServerState) -> OpenAIDoor:
    """Add the API to a server's application; :func:`lifespan` opens and closes it.

    May wait for a disk or a network. Raises ConfigValidationError, StoreUnavailable and OSError.
    """
    door = open_door(server, app.state.access)
    routers: list[APIRouter] = []
    # Made when somebody asks for it: it takes longer than all else here.
    described = functools.cache(lambda: document(routers, fastvideo.__version__))
    routers += [common_routes(door, described), video_routes(door), image_routes(door)]
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _in_envelope)
    app.state.openai = door
    return door


@contextlib.asynccontextmanager
async def lifespan(door: OpenAIDoor) -> AsyncIterator[None]:
    """Go on with the jobs that are stored, and serve until the end; what runs then goes on at the next start."""
    try:
        await door.open()
        set_state(door)
        yield
    finally:
        clear_state(door)
        await door.close()


def create_app(
    serve_config: ServeConfig, generator: SegmentGenerator | None = None, *, pool: GpuPool | None = None
) -> FastAPI:
    """The API alone, around a generator or a pool, or around worker processes as ``streaming.pool`` has them.

    Raises what :func:`fastvideo.entrypoints.streaming.server.build_app` does.
    """
    from fastvideo.entrypoints.streaming.server import build_app

    return build_app(alone(serve_config), generator, pool=pool, live=False)


def run_server(serve_config: ServeConfig, *, generator: SegmentGenerator | None = None) -> None:
    """Serve the API alone until SIGTERM or SIGINT. Raises StartFailure, and ValueError for a config that cannot be."""
    from fastvideo.entrypoints.streaming.server import run_server as run

    run(alone(serve_config), generator=generator, live=False)


def alone(serve_config: ServeConfig) -> ServeConfig:
    """A config in which the API is served, and workers have settings, where it says nothing of either."""
    return replace(
        serve_config,
        streaming=serve_config.streaming or StreamingConfig(),
        openai=serve_config.openai or OpenAIConfig(),
    )


async def _in_envelope(request: Request, error: Exception) -> Response:
    """What has no route, told in the API's form below its paths, and as ever elsewhere."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(_PATHS):
        wrong_method = error.status_code == 405
        message = "This address takes other methods." if wrong_method else "There is no such address."
        code = "method_not_allowed" if wrong_method else "not_found"
        response = ApiError(error.status_code, message, code=code).response()
    else:
        response = JSONResponse({"detail": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m fastvideo.entrypoints.openai.api_server --config X.yaml``; gives the exit code."""
    from fastvideo.api.errors import FastVideoError
    from fastvideo.api.parser import load_serve_config
    from fastvideo.api.support import check_serve_config

    parser = argparse.ArgumentParser(prog="python -m fastvideo.entrypoints.openai.api_server", description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE", help="a serve config, .yaml or .json")
    options = parser.parse_args(arguments)
    try:
        run_server(check_serve_config(load_serve_config(options.config)))
    except (FastVideoError, ValueError, OSError) as error:
        print(f"fastvideo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

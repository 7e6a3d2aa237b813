"""Gives out finished videos over HTTP, so that an answer with a URL means something on other machines."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from fastvideo import ResultStore


def results_app(store: ResultStore) -> Starlette:
    """``GET /{name}``: a result, or a part of it. Whoever knows the name, which nobody guesses, may have it."""

    def result(request: Request) -> Response:
        path = store.find(request.path_params["name"])
        if path is None:
            return PlainTextResponse("There is no such result.", 404)
        return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private"})

    return Starlette(routes=[Route("/{name}", result)])


@contextlib.contextmanager
def serving_results(store: ResultStore, host: str, port: int) -> Iterator[None]:
    """Serve until the block ends, on a thread of its own, as signals are Dynamo's. Raises OSError for a taken port."""
    config = uvicorn.Config(results_app(store), host=host, port=port, log_level="warning")
    listening = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="results", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listening.close()

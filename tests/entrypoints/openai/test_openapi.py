"""The API keeps to its own OpenAPI document, whatever it is asked."""

import collections
import contextlib
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from fastvideo.api.schema import RequestLimits
from fastvideo.entrypoints.openai.api_server import create_app
from fastvideo.entrypoints.streaming.listening import bind

MAX_EXAMPLES = 8
LIMITS = RequestLimits(max_width_px=96, max_height_px=96, max_num_frames=16, max_num_inference_steps=4)


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an app that runs on a thread, on loopback."""
    with bind("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline_s = time.monotonic() + 60
            while not server.started and thread.is_alive() and time.monotonic() < deadline_s:
                time.sleep(0.01)
            assert server.started
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def explore(operation: Any, mode: Any, wanted: list[Any], asked: collections.Counter[str]) -> None:
    """Ask what an operation's part of the document allows, or forbids, and check each answer."""

    @settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=wanted, timeout=30)
        asked[operation.label] += 1

    ask()


async def test_the_document_describes_every_route_with_its_body_and_its_errors(api) -> None:
    document = (await api.client.get("/v1/openapi.json")).json()
    operations = {f"{method} {path}": told for path, one in document["paths"].items() for method, told in one.items()}
    assert set(operations) == {
        "get /v1/models", "get /v1/models/{model}", "get /v1/model_info",
        "post /v1/videos", "get /v1/videos", "post /v1/videos/generations",
        "get /v1/videos/{video_id}", "delete /v1/videos/{video_id}",
        "get /v1/videos/{video_id}/content", "get /v1/videos/{video_id}/events",
        "post /v1/images", "post /v1/images/generations", "post /v1/images/edits", "get /v1/images/{image_id}/content",
    }  # fmt: skip
    envelope = {"$ref": "#/components/schemas/ErrorResponse"}
    for name, told in operations.items():
        for status, answer in told["responses"].items():
            if status >= "400" and status != "416":
                assert answer["content"]["application/json"]["schema"] == envelope, (name, status)
        if name.startswith("post"):
            assert set(told["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
            assert {"400", "429", "503"} <= set(told["responses"])
    properties = document["components"]["schemas"]["VideoGenerationsRequest"]["properties"]
    assert {"prompt", "seconds", "size", "seed", "state", "response_format"} <= set(properties)


def test_no_request_made_from_the_document_gets_a_server_error_or_an_answer_that_it_does_not_know(
    tmp_path: Path, kit: Any
) -> None:
    with warnings.catch_warnings():
        # Of its own dependencies.
        warnings.simplefilter("ignore")
        schemathesis = pytest.importorskip("schemathesis")
        from schemathesis import checks
        from schemathesis.generation import GenerationMode

        checks.load_all_checks()
    wanted = [
        checks.CHECKS.get_one(name)
        for name in (
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        )
    ]
    config = kit.config(tmp_path, streaming={"limits": LIMITS}, max_seconds=2.0, max_kept=50)
    with served(create_app(config, kit.Generator())) as address:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
        asked = collections.Counter[str]()
        for found in schema.get_all_operations():
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        explore(found.ok(), mode, wanted, asked)
                    except Unsatisfiable:
                        # What takes no input has nothing that could be wrong with it.
                        assert mode is GenerationMode.NEGATIVE
        assert len(asked) == 14
        assert asked.total() > 80

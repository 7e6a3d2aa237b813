"""A handler on Dynamo's runtime: two endpoints of one worker, and the model's card for its HTTP frontend."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from dynamo.llm import ModelInput, ModelType, WorkerType, register_model
from dynamo.llm.exceptions import Cancelled, InvalidArgument, Unknown, WorkerUnavailable
from dynamo.runtime import DistributedRuntime

from fastvideo.api import ConfigValidationError, FastVideoError, GenerationCancelled, ImageInvalid, StateInvalid
from fastvideo_dynamo.args import Arguments
from fastvideo_dynamo.frontend import Handle, for_frontend
from fastvideo_dynamo.handler import Busy, Handler
from fastvideo_dynamo.health_check import health_check_payload

logger = logging.getLogger(__name__)


async def register_and_serve(runtime: DistributedRuntime, arguments: Arguments, handler: Handler) -> None:
    """Serve both endpoints, and tell frontends of the model; returns when the runtime is shut down."""
    handle = with_dynamo_errors(handler.generate)
    plain = runtime.endpoint(arguments.endpoint)
    for_http = runtime.endpoint(arguments.frontend_endpoint)
    await asyncio.gather(
        # Behind both is one generator: one of them is enough to see whether it works.
        plain.serve_endpoint(handle, health_check_payload=health_check_payload(arguments.model)),
        for_http.serve_endpoint(for_frontend(handle)),
        register_model(
            ModelInput.Text,
            ModelType.Videos,
            for_http,
            arguments.serve.generator.model_path,
            arguments.model,
            worker_type=WorkerType.Aggregated,
        ),
    )


def with_dynamo_errors(handle: Handle) -> Handle:
    """The same handler, whose errors are those that Dynamo carries to its clients."""

    async def generate(request: Mapping[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            async for chunk in handle(request, context):
                yield chunk
        except FastVideoError as error:
            raise dynamo_error(error) from None
        except OSError:
            logger.exception("a result could not be kept")
            raise Unknown("the video could not be kept") from None

    return generate


def dynamo_error(error: FastVideoError) -> Exception:
    """What a client is told of an error; only what was written for clients goes out."""
    told: Exception
    match error:
        case ConfigValidationError():
            told = InvalidArgument(f"{error.path}: {error.message}")
        case StateInvalid() | ImageInvalid():
            told = InvalidArgument(error.args[0])
        case Busy():
            told = WorkerUnavailable(error.args[0])
        case GenerationCancelled():
            told = Cancelled("the generation was cancelled")
        case _:
            logger.error("a generation failed", exc_info=error)
            told = Unknown("the generation failed" + ("; try again" if error.retryable else ""))
    return told

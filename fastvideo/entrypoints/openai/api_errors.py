"""What a client is told when something is wrong: ``{"error": {"message", "type", "param", "code"}}`` and a status."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse

from fastvideo.api.errors import ConfigValidationError, FastVideoError, ImageInvalid, QuotaExceeded, StateInvalid
from fastvideo.entrypoints.access.caller import AccessRefused
from fastvideo.entrypoints.openai.jobs import JobConflict, JobsDraining, JobsFull
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable

logger = logging.getLogger(__name__)

INVALID = "invalid_request_error"
_RETRY_AFTER_S = 5


class ApiError(Exception):
    """An answer that is an error. ``param``: what of the request it is about; ``retry_after_s``: when to come back."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """The answer."""
        headers = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, self.status, headers)


def not_found(what: str, param: str, code: str) -> ApiError:
    """There is no such thing."""
    return ApiError(404, f"There is no such {what}.", param=param, code=code)


def unavailable(message: str, code: str) -> ApiError:
    """Not now, perhaps later."""
    return ApiError(503, message, kind="server_error", code=code, retry_after_s=_RETRY_AFTER_S)


def as_api_error(error: FastVideoError) -> ApiError:
    """The answer to an error that was raised on purpose."""
    told = error_message(error)
    match error:
        case JobsFull():
            message = "As many jobs wait as this server takes; try again later."
            return ApiError(429, message, kind="rate_limit_error", code="queue_full", retry_after_s=_RETRY_AFTER_S)
        case QuotaExceeded():
            message = f"Too much at once: {error}."
            wait_s = math.ceil(error.retry_after_s)
            return ApiError(429, message, kind="rate_limit_error", code="rate_limited", retry_after_s=wait_s)
        case JobsDraining():
            return unavailable("The server is shutting down.", "draining")
        case JobConflict():
            message = "This idempotency key was used for another request; use a new one."
            return ApiError(409, message, param="Idempotency-Key", code="idempotency_conflict")
        case StoreFull() | StoreUnavailable():
            logger.warning("jobs cannot be stored", exc_info=error)
            return unavailable("Jobs cannot be stored at the moment.", "storage_unavailable")
        case PromptBlocked():
            return ApiError(400, told.message, param="prompt", code="prompt_blocked")
        case ImageInvalid():
            return ApiError(400, told.message, param="image", code="image_invalid")
        case StateInvalid():
            return ApiError(400, told.message, param="state", code="state_invalid")
        case ConfigValidationError():
            param = param_of(error.path) or None
            return ApiError(400, told.message, param=param, code=told.reason or "invalid_value")
    return ApiError(500, told.message, kind="server_error", code=told.code)


def refused(refusal: AccessRefused) -> Response:
    """The answer to a stranger, and to a page of another site."""
    error = ApiError(refusal.status, refusal.message, code="unauthorized")
    if refusal.status == 401:
        error.kind = "authentication_error"
    response = error.response()
    response.headers["cache-control"] = "no-store"
    if refusal.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def param_of(path: str) -> str:
    """What clients call the setting at a path of a request."""
    name = path.rpartition(".")[2]
    return "size" if name in ("width", "height") else name


class EnvelopeRoute(APIRoute):
    """A route whose every error is told in the one form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_in_envelope(request: Request) -> Response:
            try:
                return await handle(request)
            except ApiError as error:
                return error.response()
            except RequestValidationError as error:
                first = error.errors()[0]
                name = str(first["loc"][-1])
                message = f"{name}: {first['msg'].replace('Input should be', 'expected', 1)}."
                return ApiError(400, message, param=name, code="invalid_value").response()
            except HTTPException as error:
                return ApiError(error.status_code, "The request could not be read.").response()
            except AccessRefused as refusal:
                return refused(refusal)
            except FastVideoError as error:
                return as_api_error(error).response()
            except OSError:
                logger.exception("a request for %s could not be served", request.url.path)
                return unavailable("Files cannot be kept at the moment.", "storage_unavailable").response()

        return handle_in_envelope

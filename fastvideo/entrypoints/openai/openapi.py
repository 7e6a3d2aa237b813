"""The API's own OpenAPI document: bodies that are read by hand, and errors, as it tells them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from fastvideo.entrypoints.openai.protocol import (
    ErrorResponse,
    ImageEditsRequest,
    ImageGenerationsRequest,
    VideoGenerationsRequest,
)

_BODIES: tuple[type[BaseModel], ...] = (VideoGenerationsRequest, ImageGenerationsRequest, ImageEditsRequest)
_REF = "#/components/schemas/{model}"
_MEANINGS = {
    400: "The request is not valid",
    401: "A key is asked for",
    403: "Not for this client",
    404: "There is no such thing, or not yet",
    408: "The body did not come in time",
    409: "Something else was asked for with the same idempotency key",
    413: "The body is too large",
    415: "The body is of another kind",
    422: "What the request needs is missing",
    429: "As many jobs wait as the server takes, or this client's quota is used up",
    500: "It could not be made",
    503: "Not now, perhaps later",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer with. Replaces what FastAPI says of bodies that it does not read here."""
    return {status: {"model": ErrorResponse, "description": _MEANINGS[status]} for status in statuses}


def body_of(model: type[BaseModel], *, file: str | None = None, json: bool = True) -> dict[str, Any]:
    """How a route takes its body: as JSON, and as a form, in which ``file`` may be uploaded."""
    schema: dict[str, Any] = {"$ref": _REF.format(model=model.__name__)}
    form = schema
    if file is not None:
        form = {"allOf": [schema], "description": f"A form in which {file} may be a file."}
    content = {"application/json": {"schema": schema}} if json else {}
    return {"requestBody": {"required": True, "content": {**content, "multipart/form-data": {"schema": form}}}}


def document(routers: list[APIRouter], version: str) -> dict[str, Any]:
    """The whole document."""
    routes = [route for router in routers for route in router.routes]
    whole = get_openapi(
        title="fastvideo",
        version=version,
        description="Videos with sound, and images, in the form of the OpenAI API.",
        routes=routes,
    )
    schemas = whole.setdefault("components", {}).setdefault("schemas", {})
    for model in _BODIES:
        schema = model.model_json_schema(ref_template=_REF)
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        schemas[model.__name__] = schema
    for path in whole["paths"].values():
        for operation in path.values():
            # FastAPI's own error of parameters, which here is told as 400.
            told = operation["responses"].get("422")
            if told is not None and "HTTPValidationError" in str(told):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return whole

"""The routes that are about the server: which model it has, and the API's own document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from fastvideo.entrypoints.openai.api_errors import ApiError, EnvelopeRoute
from fastvideo.entrypoints.openai.door import OpenAIDoor
from fastvideo.entrypoints.openai.openapi import errors
from fastvideo.entrypoints.openai.protocol import ModelCard, ModelInfo, ModelList


def available_models(door: OpenAIDoor) -> ModelList:
    """The models that are served: one."""
    return ModelList(data=[ModelCard(id=door.model_id, created=door.opened_at)])


def retrieve_model(door: OpenAIDoor, model: str) -> ModelCard:
    """The card of a model. Raises ApiError 404 for one that is not served."""
    for card in available_models(door).data:
        if card.id == model:
            return card
    raise ApiError(
        404, "There is no such model; /v1/models lists those that there are.", param="model", code="model_not_found"
    )


def model_info(door: OpenAIDoor) -> ModelInfo:
    """What the operator serves, without the folders that it lies in."""
    return ModelInfo(model_path=door.model_path)


def common_routes(door: OpenAIDoor, described: Callable[[], dict[str, Any]]) -> APIRouter:
    """``/v1/models`` and ``/v1/model_info``; ``described`` gives the API's OpenAPI document."""
    router = APIRouter(prefix="/v1", tags=["models"], route_class=EnvelopeRoute)

    @router.get("/models", summary="List models", response_model=ModelList)
    async def models() -> ModelList:
        return available_models(door)

    @router.get("/models/{model:path}", summary="See a model", response_model=ModelCard, responses=errors(404))
    async def model(model: str) -> ModelCard:
        return retrieve_model(door, model)

    @router.get("/model_info", summary="See what is served", response_model=ModelInfo)
    async def info() -> ModelInfo:
        return model_info(door)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return JSONResponse(described())

    return router

"""The routes of images. Whoever asks for them waits; they are jobs like videos, and take turns with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import PurePath

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from fastvideo.entrypoints.access.caller import Caller
from fastvideo.entrypoints.openai.api_errors import ApiError, EnvelopeRoute, not_found
from fastvideo.entrypoints.openai.door import OpenAIDoor, client_fields, url_of
from fastvideo.entrypoints.openai.job import JobRecord, is_job_id, new_job_id
from fastvideo.entrypoints.openai.openapi import body_of, errors
from fastvideo.entrypoints.openai.protocol import (
    ImageEditsRequest,
    ImageGenerationsRequest,
    ImageResponse,
    ImageResponseData,
)
from fastvideo.entrypoints.openai.request_body import RequestBody
from fastvideo.entrypoints.openai.utils import choose_image_ext, merge_image_input_list, parse_size

_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
_FILES = ("image", "image[]")


def image_routes(door: OpenAIDoor) -> APIRouter:
    """``/v1/images`` and what is below it."""
    router = APIRouter(prefix="/v1/images", tags=["images"], route_class=EnvelopeRoute)

    async def generate(request: Request) -> Response:
        caller = door.taken_by(request)
        body = await door.bodies.read(request)
        if body.files:
            raise ApiError(400, "Expected no file; /v1/images/edits takes one.", code="unknown_parameter")
        return await _made(door, request, caller, body, await body.parsed(ImageGenerationsRequest), [])

    for path in ("", "/generations"):
        router.add_api_route(
            path,
            generate,
            methods=["POST"],
            summary="Make images, and wait for them",
            response_model=ImageResponse,
            openapi_extra=body_of(ImageGenerationsRequest),
            responses=errors(400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503),
        )

    @router.post(
        "/edits",
        summary="Make images from one, and wait for them",
        response_model=ImageResponse,
        openapi_extra=body_of(ImageEditsRequest, file="image"),
        responses=errors(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 503),
    )
    async def edit(request: Request) -> Response:
        caller = door.taken_by(request)
        body = await door.bodies.read(request)
        if "url[]" in body.values:
            body.values.setdefault("url", body.values.pop("url[]"))
        asked = await body.parsed(ImageEditsRequest)
        if unknown := body.files.keys() - set(_FILES):
            raise ApiError(400, "Expected no file but image.", param=min(unknown)[:40], code="unknown_parameter")
        images = merge_image_input_list(*(body.files.get(name) for name in _FILES), asked.url)
        if not images:
            raise ApiError(
                422,
                "Expected an image: a file called image, or a data: URL called url.",
                param="image",
                code="missing_image",
            )
        return await _made(door, request, caller, body, asked, images)

    async def read_content(request: Request, image_id: str, index: int = 0) -> Response:
        job = door.jobs.get(image_id, "image") if is_job_id(image_id, "image") else None
        if job is None or not job.record.ended or not 0 <= index < len(job.record.outputs):
            raise _unknown()
        name = job.record.outputs[index]
        answer = await door.file_answer(request, name, _MEDIA_TYPES[PurePath(name).suffix])
        if answer is None:
            raise _unknown()
        return answer

    router.add_api_route(
        "/{image_id}/content",
        read_content,
        methods=["GET"],
        summary="Download an image",
        response_class=Response,
        responses={
            200: {"description": "The file", "content": {kind: {} for kind in _MEDIA_TYPES.values()}},
            206: {"description": "A part of the file"},
            304: {"description": "The client has it"},
            416: {"description": "There is no such part"},
            **errors(400, 404, 503),
        },
    )
    router.add_api_route("/{image_id}/content", read_content, methods=["HEAD"], include_in_schema=False)
    return router


async def _made(
    door: OpenAIDoor,
    request: Request,
    caller: Caller,
    body: RequestBody,
    asked: ImageGenerationsRequest,
    images: Sequence[bytes | str],
) -> Response:
    """Queue the job that a request asks for, wait for it, and answer with its images."""
    key, digest = door.key_of(request, body, caller)
    job = await door.jobs.known(key, digest)
    if job is None:
        width, height = (None, None) if asked.size is None else parse_size(asked.size)
        fields = client_fields(
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt,
            width=width,
            height=height,
            seed=asked.seed,
            num_inference_steps=asked.num_inference_steps,
            guidance_scale=asked.guidance_scale,
            true_cfg_scale=asked.true_cfg_scale,
            enable_teacache=asked.enable_teacache or None,
            n=asked.n,
            extension=choose_image_ext(asked.output_format, asked.background),
        )
        plan = door.requests.image(fields)
        await asyncio.to_thread(door.server.prompts.check_request, plan)
        record = JobRecord(
            id=new_job_id("image"),
            kind="image",
            created_ns=time.time_ns(),
            owner=caller.key,
            fields=fields,
            model=asked.model or door.model_id,
            size=f"{plan.sampling.width}x{plan.sampling.height}",
            response_format=asked.response_format,
            waits=True,
            key=key,
            body=digest,
        )
        await door.keep_image(record, images, "image")
        job = await door.submit(record, caller, asked.n)
    done = await door.wait(job, request)
    data = []
    for index, name in enumerate(done.outputs):
        if done.response_format == "b64_json":
            data.append(ImageResponseData(b64_json=await door.base64_of(name)))
        else:
            data.append(ImageResponseData(url=url_of(request, f"/v1/images/{done.id}/content?index={index}")))
    answer = ImageResponse(
        id=done.id,
        created=done.created_at,
        data=data,
        peak_memory_mb=done.peak_memory_mb,
        inference_time_s=round(done.generation_ms / 1000.0, 3),
    )
    return await asyncio.to_thread(lambda: JSONResponse(answer.model_dump(mode="json")))


def _unknown() -> ApiError:
    return not_found("image", "image_id", "image_not_found")

"""The routes of videos."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

from fastvideo.entrypoints.openai.api_errors import ApiError, EnvelopeRoute, not_found
from fastvideo.entrypoints.openai.door import OpenAIDoor, client_fields, url_of
from fastvideo.entrypoints.openai.job import Job, JobRecord, is_job_id, new_job_id
from fastvideo.entrypoints.openai.openapi import body_of, errors
from fastvideo.entrypoints.openai.protocol import (
    MediaData,
    StateEnvelope,
    VideoError,
    VideoGenerationsRequest,
    VideoGenerationsResponse,
    VideoListResponse,
    VideoResponse,
)
from fastvideo.entrypoints.openai.utils import merge_image_input_list, parse_size
from fastvideo.entrypoints.streaming.recordings.poster import make_poster
from fastvideo.entrypoints.streaming.state_blobs import check_client_state

# A connection on which nothing happens is cut by what lies between.
_STILL_THERE_S = 15.0
# The beginning of a file, with its first picture.
_POSTER_BYTES = 4 << 20


def video_routes(door: OpenAIDoor) -> APIRouter:
    """``/v1/videos`` and what is below it."""
    router = APIRouter(prefix="/v1/videos", tags=["videos"], route_class=EnvelopeRoute)

    @router.post(
        "",
        summary="Ask for a video",
        response_model=VideoResponse,
        openapi_extra=body_of(VideoGenerationsRequest, file="input_reference"),
        responses=errors(400, 401, 403, 408, 409, 413, 415, 429, 503),
    )
    async def create(request: Request) -> Response:
        job = await _asked_for(door, request, waits=False)
        return await _answer(door, job, request)

    @router.post(
        "/generations",
        summary="Make a video, and wait for it",
        response_model=VideoGenerationsResponse,
        openapi_extra=body_of(VideoGenerationsRequest, file="input_reference"),
        responses=errors(400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503),
    )
    async def generate(request: Request) -> Response:
        job = await _asked_for(door, request, waits=True)
        record = await door.wait(job, request)
        data = MediaData(url=url_of(request, _content_path(record.id)))
        if record.response_format == "b64_json":
            data = MediaData(b64_json=await door.base64_of(record.outputs[0]))
        answer = VideoGenerationsResponse(
            id=record.id,
            created=record.created_at,
            model=record.model,
            data=[data],
            size=record.size,
            seconds=record.seconds,
            inference_time_s=round(record.generation_ms / 1000.0, 3),
            peak_memory_mb=record.peak_memory_mb,
            state=await _state(door, record),
        )
        # A state or a video in it may be large.
        return await asyncio.to_thread(lambda: JSONResponse(answer.model_dump(mode="json")))

    @router.get(
        "",
        summary="List videos",
        response_model=VideoListResponse,
        responses=errors(400, 401, 403, 429),
    )
    async def listed(
        request: Request,
        after: Annotated[str | None, Query(max_length=100)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        caller = door.lister(request)
        jobs, more = door.jobs.listed(
            lambda record: record.kind == "video" and door.sees(caller, record),
            after=after,
            limit=limit,
            newest_first=order == "desc",
        )
        videos = [video_of(door, job, request) for job in jobs]
        first, last = (videos[0].id, videos[-1].id) if videos else (None, None)
        answer = VideoListResponse(data=videos, first_id=first, last_id=last, has_more=more)
        return JSONResponse(_dumped(answer))

    @router.get(
        "/{video_id}", summary="See a video's state", response_model=VideoResponse, responses=errors(401, 403, 404, 429)
    )
    async def retrieve(request: Request, video_id: str) -> Response:
        return await _answer(door, _own(door, video_id, request), request)

    @router.delete(
        "/{video_id}",
        summary="Stop a video and remove its files",
        response_model=VideoResponse,
        responses=errors(401, 403, 404, 429, 503),
    )
    async def delete(request: Request, video_id: str) -> Response:
        job = _own(door, video_id, request)
        await door.jobs.delete(job)
        return JSONResponse(_dumped(video_of(door, job, request)))

    content: dict[int | str, dict[str, Any]] = {
        200: {"description": "The file", "content": {"video/mp4": {}, "image/jpeg": {}}},
        206: {"description": "A part of the file", "content": {"video/mp4": {}}},
        304: {"description": "The client has it"},
        416: {"description": "There is no such part"},
    }

    async def read_content(
        request: Request, video_id: str, variant: Literal["video", "thumbnail"] = "video"
    ) -> Response:
        job = _known(door, video_id)
        record = job.record
        if record.error is not None:
            raise ApiError(500, record.error.message, kind="server_error", code=record.error.code)
        if not record.ended:
            raise ApiError(404, "The video is not finished yet.", param="video_id", code="not_ready")
        if variant == "thumbnail":
            return Response(await _thumbnail(door, record), media_type="image/jpeg")
        answer = await door.file_answer(request, record.outputs[0], "video/mp4")
        if answer is None:
            raise _unknown()
        return answer

    router.add_api_route(
        "/{video_id}/content",
        read_content,
        methods=["GET"],
        summary="Download a video, or a part of it",
        response_class=Response,
        responses=content | errors(400, 404, 500, 503),
    )
    router.add_api_route("/{video_id}/content", read_content, methods=["HEAD"], include_in_schema=False)

    @router.get(
        "/{video_id}/events",
        summary="Follow a video's state",
        description="Server-sent events `video`, each with the video as it is then; the last one says how it ended.",
        response_class=Response,
        responses={
            200: {"description": "Events", "content": {"text/event-stream": {}}},
            **errors(401, 403, 404, 429, 503),
        },
    )
    async def events(request: Request, video_id: str) -> Response:
        job = _own(door, video_id, request)
        door.enter_reader()
        return _Events(_told(door, job, request), door)

    return router


class _Events(StreamingResponse):
    """Server-sent events; the door is told when nobody reads them any more."""

    def __init__(self, lines: AsyncIterator[str], door: OpenAIDoor) -> None:
        super().__init__(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._door = door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._door.leave_reader()


async def _told(door: OpenAIDoor, job: Job, request: Request) -> AsyncIterator[str]:
    while True:
        seen = job.version
        yield f"event: video\ndata: {json.dumps(_dumped(video_of(door, job, request)))}\n\n"
        if job.over or door.jobs.draining:
            return
        while job.version == seen:
            try:
                async with asyncio.timeout(_STILL_THERE_S):
                    await job.change(seen)
            except TimeoutError:
                yield ": still there\n\n"


async def _asked_for(door: OpenAIDoor, request: Request, *, waits: bool) -> Job:
    """The job that a request asks for: a new one, or the one that the same idempotency key asked for."""
    caller = door.taken_by(request)
    body = await door.bodies.read(request)
    asked = await body.parsed(VideoGenerationsRequest)
    key, digest = door.key_of(request, body, caller)
    if (known := await door.jobs.known(key, digest)) is not None:
        return known
    width, height = _size(asked.size)
    fields = client_fields(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        width=width,
        height=height,
        fps=asked.fps,
        num_frames=asked.num_frames,
        seconds=None if asked.seconds is None else float(asked.seconds),
        seed=asked.seed,
        num_inference_steps=asked.num_inference_steps,
        guidance_scale=asked.guidance_scale,
        guidance_scale_2=asked.guidance_scale_2,
        true_cfg_scale=asked.true_cfg_scale,
        enable_teacache=asked.enable_teacache or None,
    )
    plan = door.requests.video(fields)
    await asyncio.to_thread(door.server.prompts.check_request, plan.request)
    sampling = plan.request.sampling
    record = JobRecord(
        id=new_job_id("video"),
        kind="video",
        created_ns=time.time_ns(),
        owner=caller.key,
        fields=fields,
        model=asked.model or door.model_id,
        size=f"{sampling.width}x{sampling.height}",
        seconds=f"{plan.frames / sampling.fps:g}",
        response_format=asked.response_format,
        return_state=asked.return_state or (asked.output is not None and asked.output.return_state),
        waits=waits,
        key=key,
        body=digest,
    )
    reference = asked.input_reference
    images = merge_image_input_list(
        body.files.get("input_reference"),
        reference if isinstance(reference, str) or reference is None else reference.image_url,
        asked.reference_url,
    )
    if unknown := body.files.keys() - {"input_reference"}:
        raise ApiError(400, "Expected no file but input_reference.", param=min(unknown)[:40], code="unknown_parameter")
    try:
        if asked.state is not None:
            given = asked.state
            state = await asyncio.to_thread(
                check_client_state, given.kind, given.payload, given.signature, door.server.signatures
            )
            await asyncio.to_thread(door.results.write_state, record.id, state, begun=False)
        await door.keep_image(record, images, "input_reference")
    except BaseException:
        await asyncio.to_thread(door.results.remove, record.id)
        raise
    return await door.submit(record, caller, plan.segments)


def _size(text: str | None) -> tuple[int | None, int | None]:
    return (None, None) if text is None else parse_size(text)


def video_of(door: OpenAIDoor, job: Job, request: Request) -> VideoResponse:
    """A job as clients see it."""
    record = job.record
    done = record.status == "completed" and not job.deleted
    ended = record.completed_at
    return VideoResponse(
        id=record.id,
        model=record.model,
        status="deleted" if job.deleted else record.status,
        progress=job.progress,
        created_at=record.created_at,
        completed_at=ended if done else None,
        expires_at=ended + door.config.keep_seconds if done and ended is not None else None,
        prompt=record.fields["prompt"],
        size=record.size,
        seconds=record.seconds,
        url=url_of(request, _content_path(record.id)) if done else None,
        error=None if record.error is None else VideoError(code=record.error.code, message=record.error.message),
        inference_time_s=round(record.generation_ms / 1000.0, 3) if done else None,
        peak_memory_mb=record.peak_memory_mb if done else None,
        deleted=True if job.deleted else None,
    )


async def _answer(door: OpenAIDoor, job: Job, request: Request) -> JSONResponse:
    """A video with what is too large for lists: its state, and itself, where they were asked for."""
    video, record = video_of(door, job, request), job.record
    if video.status == "completed":
        video.state = await _state(door, record)
        if record.response_format == "b64_json":
            video.b64_json = await door.base64_of(record.outputs[0])
    if video.state is None and video.b64_json is None:
        return JSONResponse(_dumped(video))
    return await asyncio.to_thread(lambda: JSONResponse(_dumped(video)))


async def _state(door: OpenAIDoor, record: JobRecord) -> StateEnvelope | None:
    if not record.return_state:
        return None
    state = await asyncio.to_thread(door.results.read_last_state, record.id)
    if state is None:
        return None
    signatures = door.server.signatures
    signature = None if signatures is None else await asyncio.to_thread(signatures.sign, state.kind, state.payload)
    return StateEnvelope(kind=state.kind, payload=state.payload, signature=signature)


def _dumped(answer: VideoResponse | VideoListResponse) -> dict[str, Any]:
    # What only some answers have is left out of the others.
    whole: dict[str, Any] = answer.model_dump(mode="json")
    for video in whole["data"] if isinstance(answer, VideoListResponse) else [whole]:
        for name in ("b64_json", "state", "deleted"):
            if video[name] is None:
                del video[name]
        if "state" in video and video["state"]["signature"] is None:
            del video["state"]["signature"]
    return whole


async def _thumbnail(door: OpenAIDoor, record: JobRecord) -> bytes:
    file = await asyncio.to_thread(door.results.open, record.outputs[0])
    if file is None:
        raise _unknown()
    try:
        poster = await asyncio.to_thread(lambda: make_poster(file.read(0, _POSTER_BYTES), b""))
    finally:
        file.close()
    if poster is None:
        raise ApiError(404, "The video has no thumbnail.", param="variant", code="not_found")
    return poster


def _content_path(video_id: str) -> str:
    return f"/v1/videos/{video_id}/content"


def _own(door: OpenAIDoor, video_id: str, request: Request) -> Job:
    """A video of the caller's. Raises AccessRefused, and ApiError 404 for what is not theirs."""
    caller, job = door.caller(request), _known(door, video_id)
    if not door.sees(caller, job.record):
        raise _unknown()
    return job


def _known(door: OpenAIDoor, video_id: str) -> Job:
    """A video, whoever's it is: its id opens its file, since players send no key with what they load."""
    job = door.jobs.get(video_id, "video") if is_job_id(video_id, "video") else None
    if job is None:
        raise _unknown()
    return job


def _unknown() -> ApiError:
    return not_found("video", "video_id", "video_not_found")

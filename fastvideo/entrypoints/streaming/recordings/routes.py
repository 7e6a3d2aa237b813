"""Recordings over HTTP: which there are, their media with ranges, posters, events, and their removal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime
from starlette.responses import JSONResponse

from fastvideo.entrypoints.access.access_control import AccessControl
from fastvideo.entrypoints.access.dependencies import Client
from fastvideo.entrypoints.streaming.recordings.file_answer import FileAnswer
from fastvideo.entrypoints.streaming.recordings.open_file import OpenFile
from fastvideo.entrypoints.streaming.recordings.recording_info import is_recording_id
from fastvideo.entrypoints.streaming.recordings.recordings import Recordings

DEFAULT_LISTED = 50
MAX_LISTED = 200
# Each holds a descriptor for as long as its client reads.
MAX_READERS = 128


def recording_routes(recordings: Recordings | None, listing: Literal["loopback", "everyone", "nobody"]) -> APIRouter:
    """The routes under ``/v1/sessions``; their app has access control installed.

    A recording's id, 128 random bits, is what opens it: players send no key with what they load.
    """
    router = APIRouter(prefix="/v1/sessions")
    files = _Files()

    @router.get("")
    async def sessions(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = DEFAULT_LISTED,
        after: str | None = None,
        after_started_at: AwareDatetime | None = None,
    ) -> Response:
        if recordings is None:
            return _not_offered()
        if listing == "nobody":
            return _refusal(403, "unauthorized", "Recordings are not listed here.")
        access: AccessControl = request.app.state.access
        if listing == "everyone":
            access.client(request)
        else:
            access.admin(request)
        began_s = after_started_at.timestamp() if after_started_at is not None else None
        infos, more = recordings.newest(limit, after, began_s)
        return JSONResponse({"sessions": [info.on_the_wire() for info in infos], "more": more})

    @router.get("/{recording_id}")
    async def session(recording_id: str) -> Response:
        info = recordings.get(recording_id) if recordings is not None else None
        return JSONResponse(info.on_the_wire()) if info is not None else _unknown()

    @router.api_route("/{recording_id}/recording.mp4", methods=["GET", "HEAD"])
    async def media(request: Request, recording_id: str) -> Response:
        opener = recordings.open_media if recordings is not None else _nothing
        return await files.answer(request, opener, recording_id, "video/mp4")

    @router.api_route("/{recording_id}/poster.jpg", methods=["GET", "HEAD"])
    async def poster(request: Request, recording_id: str) -> Response:
        opener = recordings.open_poster if recordings is not None else _nothing
        return await files.answer(request, opener, recording_id, "image/jpeg")

    @router.api_route("/{recording_id}/events", methods=["GET", "HEAD"])
    async def events(request: Request, recording_id: str) -> Response:
        opener = recordings.open_events if recordings is not None else _nothing
        return await files.answer(request, opener, recording_id, "application/jsonl")

    @router.delete("/{recording_id}")
    async def delete(caller: Client, recording_id: str) -> Response:
        if recordings is None or not await recordings.delete(recording_id):
            return _unknown()
        return Response(status_code=204)

    return router


class _Files:
    """Answers requests for files, so many at a time."""

    def __init__(self) -> None:
        self._readers = 0

    async def answer(
        self, request: Request, opener: Callable[[str], OpenFile | None], recording_id: str, media_type: str
    ) -> Response:
        if not is_recording_id(recording_id):
            return _unknown()
        if self._readers >= MAX_READERS:
            return _refusal(503, "busy", "Too many recordings are being read; try again.", {"retry-after": "5"})
        self._readers += 1
        try:
            file = await asyncio.to_thread(opener, recording_id)
        except BaseException:
            self._free()
            raise
        if file is None:
            self._free()
            return _unknown()
        return FileAnswer(file, request.headers, media_type, closed=self._free)

    def _free(self) -> None:
        self._readers -= 1


def _nothing(recording_id: str) -> OpenFile | None:
    return None


def _unknown() -> Response:
    return _refusal(404, "not_found", "There is no such recording.")


def _not_offered() -> Response:
    return _refusal(404, "not_offered", "This server makes no recordings.")


def _refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status, headers=headers)

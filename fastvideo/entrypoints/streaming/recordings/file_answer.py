"""The answer to a request for a file, or for a part of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.datastructures import Headers
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fastvideo.entrypoints.streaming.recordings.byte_range import ByteRange, RangeNotSatisfiable, read_range
from fastvideo.entrypoints.streaming.recordings.open_file import ReadableFile

_CHUNK_BYTES = 256 << 10


class FileAnswer(StreamingResponse):
    """200 with all of it, 206 with one range, 304 or 416 without a body; the body is left out for HEAD.

    What is whole when the request comes is the file, and its size is the entity tag: bytes that were there before never
    change but for the index, which belongs to the size. ``closed`` is called once, with the file closed.
    """

    def __init__(self, file: ReadableFile, request: Headers, media_type: str, *, closed: Callable[[], None]) -> None:
        self._file = file
        self._closed = closed
        tag = f'"{file.size:x}"'
        headers = {"accept-ranges": "bytes", "etag": tag, "cache-control": "private, no-cache"}
        status, part = 200, ByteRange(0, file.size - 1)
        if tag in (one.strip() for one in request.get("if-none-match", "").split(",")):
            status, part = 304, ByteRange(0, -1)
        elif request.get("if-range", tag) == tag:
            try:
                asked = read_range(request.get("range"), file.size)
            except RangeNotSatisfiable:
                status, part = 416, ByteRange(0, -1)
                headers["content-range"] = f"bytes */{file.size}"
            else:
                if asked is not None:
                    status, part = 206, asked
                    headers["content-range"] = f"bytes {part.first}-{part.last}/{file.size}"
        if status != 304:
            headers["content-length"] = str(part.length)
        super().__init__(self._chunks(part), status, headers, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b""})
            else:
                await super().__call__(scope, receive, send)
        finally:
            self._file.close()
            self._closed()

    async def _chunks(self, part: ByteRange) -> AsyncIterator[bytes]:
        at = part.first
        while at <= part.last:
            chunk = await asyncio.to_thread(self._file.read, at, min(_CHUNK_BYTES, part.last + 1 - at))
            if not chunk:
                return
            at += len(chunk)
            yield chunk

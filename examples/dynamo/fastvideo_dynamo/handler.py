"""The endpoint's handler: one request of a client's, one generation, chunks of the documented form."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fastvideo.api import (
    FastVideoError,
    GenerationCancelled,
    GenerationFailed,
    GenerationRequest,
    RequestLimits,
    VideoEvent,
    VideoFinalEvent,
    VideoPartialEvent,
    VideoProgressEvent,
    resolve_request,
    validate_request,
)
from fastvideo_dynamo import protocol

T = TypeVar("T")


class Generator(Protocol):
    """The part of a :class:`fastvideo.VideoGenerator` that is used."""

    def generate_async(self, request: GenerationRequest) -> AsyncGenerator[VideoEvent, None]: ...


class Deliver(Protocol):
    """Keeps a finished video; gives the address under which clients get it. Blocks."""

    def __call__(self, video: bytes) -> str: ...


class Busy(FastVideoError):
    """As many requests wait for the generator as may."""

    code = "gpu_unavailable"
    retryable = True


@dataclass(frozen=True)
class Settings:
    """``model``: what answers call it; ``default_request``: the operator's; ``max_waiting``: requests behind the one
    that is made, one more is refused."""

    model: str
    default_request: GenerationRequest | None = None
    limits: RequestLimits | None = None
    max_waiting: int = 16


class Handler:
    """Makes one video at a time; the others wait for their turn, in the order in which they came."""

    def __init__(self, generator: Generator, settings: Settings, deliver: Deliver) -> None:
        self._generator = generator
        self._settings = settings
        self._deliver = deliver
        self._turn = asyncio.Lock()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._waiting

    async def generate(self, request: Mapping[str, Any], context: Any = None) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of one video: exactly one, or with ``stream`` progress before it; the last one has the video.

        A ``context`` that is stopped ends the work within one step. Raises FastVideoError, whose words may be shown.
        """
        fields = protocol.fields_of(request)
        wanted = protocol.response_format(fields)
        generation = await asyncio.to_thread(self._generation, request)
        head = {
            "id": _id_of(context),
            "object": "video",
            "created": int(time.time()),
            "model": fields.get("model") or self._settings.model,
        }
        streams = protocol.wants_stream(fields)
        async with _Stopped(context) as stopped, self._own_turn(stopped):
            began_s = time.monotonic()
            final: VideoFinalEvent | None = None
            async with contextlib.aclosing(self._generator.generate_async(generation)) as events:
                while (event := await stopped.unless(anext(events, None))) is not None:
                    if final is not None:
                        raise GenerationFailed("the generator went on after the end of the video")
                    if isinstance(event, VideoFinalEvent):
                        final = event
                    elif streams and isinstance(event, VideoProgressEvent):
                        yield protocol.progress_chunk(head, event)
                    elif streams and isinstance(event, VideoPartialEvent):
                        yield protocol.partial_chunk(head, event)
            took_s = time.monotonic() - began_s
        if final is None or not final.video_bytes:
            raise GenerationFailed("the generator ended without a video")
        if wanted == "url":
            video = {"url": await asyncio.to_thread(self._deliver, final.video_bytes)}
        else:
            video = {"b64_json": await asyncio.to_thread(protocol.base64_of, final.video_bytes)}
        if streams:
            took_s = final.metadata.get("inference_time_s", took_s)
        yield protocol.final_chunk(head, final, video, inference_time_s=round(took_s, 3))

    def _generation(self, request: Mapping[str, Any]) -> GenerationRequest:
        """What to generate, checked, before it waits for anything."""
        default = self._settings.default_request
        asked = protocol.nv_request_to_generation_request(request, default_request=default)
        generation = resolve_request(asked, default_request=default)
        validate_request(generation, self._settings.limits or RequestLimits())
        return generation

    @contextlib.asynccontextmanager
    async def _own_turn(self, stopped: _Stopped) -> AsyncIterator[None]:
        if self._turn.locked() and self._waiting >= self._settings.max_waiting:
            raise Busy("as many videos wait as may; try again later")
        self._waiting += 1
        turn = asyncio.ensure_future(self._turn.acquire())
        try:
            await stopped.unless(turn)
        except BaseException:
            # It may have come in the same moment.
            if turn.done() and not turn.cancelled():
                self._turn.release()
            raise
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()


class _Stopped:
    """Whether the client has left, as Dynamo's context tells; a context that cannot tell never does."""

    def __init__(self, context: Any) -> None:
        told = getattr(context, "async_killed_or_stopped", None)
        self._told: asyncio.Future[Any] | None = None if told is None else asyncio.ensure_future(told())

    async def __aenter__(self) -> _Stopped:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._told is not None:
            self._told.cancel()
            await asyncio.gather(self._told, return_exceptions=True)

    async def unless(self, wanted: Awaitable[T]) -> T:
        """The result of ``wanted``; GenerationCancelled, with ``wanted`` ended, once the client has left."""
        work = asyncio.ensure_future(wanted)
        try:
            await asyncio.wait({work} if self._told is None else {work, self._told}, return_when="FIRST_COMPLETED")
            if not work.done():
                raise GenerationCancelled("the client has left")
            return work.result()
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)


def _id_of(context: Any) -> str:
    told = getattr(context, "id", None)
    return told() if callable(told) else uuid.uuid4().hex

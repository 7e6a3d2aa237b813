"""Videos as jobs: ask for one, follow it, fetch it."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from fastvideo.api.schema import ContinuationState
from fastvideo.client.download import download
from fastvideo.client.errors import ProtocolViolation, RequestBusy, ServerUnreachable, VideoFailed
from fastvideo.client.http_door import HttpDoor
from fastvideo.client.image_file import ImageFile, ImageSource
from fastvideo.client.patience import PATIENCE_S, Patience
from fastvideo.entrypoints.openai.protocol import StateEnvelope, VideoListResponse, VideoResponse

GivenState: TypeAlias = StateEnvelope | ContinuationState | Mapping[str, Any]
Progress: TypeAlias = Callable[[VideoResponse], object | Awaitable[object]]


class AsyncVideoJob:
    """One video of a server: ``video`` is what was last heard of it."""

    def __init__(self, door: HttpDoor, video: VideoResponse) -> None:
        self._door = door
        self.video = video

    @property
    def id(self) -> str:
        """The server's name for it."""
        return self.video.id

    @property
    def status(self) -> Literal["queued", "in_progress", "completed", "failed", "deleted"]:
        """How it stands, as far as was heard."""
        return self.video.status

    @property
    def progress(self) -> int:
        """How much of it is made, in percent, as far as was heard."""
        return self.video.progress

    @property
    def state(self) -> StateEnvelope | None:
        """Where it ends, for another video to go on from; with ``return_state``, once it is finished."""
        return self.video.state

    async def refresh(self) -> VideoResponse:
        """Ask how it stands now."""
        self.video = VideoResponse.model_validate_json(await self._door.fetch("GET", self._path))
        return self.video

    async def follow(self, *, patience_s: float = PATIENCE_S) -> AsyncGenerator[VideoResponse, None]:
        """How it stands now, and whenever that changes, until it is over.

        Goes on when the server starts again, unless it is gone for ``patience_s``. Raises ServerUnreachable and
        RequestRefused.
        """
        patience = Patience(patience_s)
        heard = None
        while self.status in ("queued", "in_progress"):
            try:
                async with contextlib.aclosing(self._events()) as events:
                    async for video in events:
                        patience.heard()
                        self.video = video
                        if video != heard:
                            yield video
                        heard = video
                if self.status in ("queued", "in_progress"):
                    raise ServerUnreachable(f"expected to hear how {self.id} ends, got the server's goodbye")
            except (ServerUnreachable, RequestBusy) as error:
                await patience.wait_after(error)

    async def wait(self, *, progress: Progress | None = None, patience_s: float = PATIENCE_S) -> VideoResponse:
        """Wait until it is made, as :meth:`follow` does; ``progress`` is called with the video whenever it has changed.

        Raises VideoFailed when it cannot be made or was deleted.
        """
        async with contextlib.aclosing(self.follow(patience_s=patience_s)) as videos:
            async for video in videos:
                told = progress(video) if progress is not None else None
                if inspect.isawaitable(told):
                    await told
        return await self.result()

    async def result(self) -> VideoResponse:
        """The finished video, with its ``state`` where one was asked for; raises VideoFailed unless it is there."""
        video = await self.refresh()
        if video.error is not None:
            raise VideoFailed(self.id, video.error.code, video.error.message)
        if video.status != "completed":
            raise VideoFailed(self.id, video.status, "expected a finished video; wait() waits for it.")
        return video

    async def save(self, path: str | os.PathLike[str], *, patience_s: float = PATIENCE_S) -> Path:
        """Download the finished video as an MP4 file, ``<path>.part`` until it is whole; goes on where it was cut."""
        return await download(self._door, f"{self._path}/content", path, patience_s=patience_s)

    async def content(self) -> bytes:
        """The finished video, an MP4 file."""
        return await self._door.fetch("GET", f"{self._path}/content")

    async def delete(self) -> VideoResponse:
        """Stop it if it is being made, and remove all there is of it."""
        self.video = VideoResponse.model_validate_json(await self._door.fetch("DELETE", self._path))
        return self.video

    @property
    def _path(self) -> str:
        return f"/v1/videos/{quote(self.id, safe='')}"

    async def _events(self) -> AsyncGenerator[VideoResponse, None]:
        async with self._door.stream("GET", f"{self._path}/events") as answer:
            lines = answer.aiter_lines()
            while True:
                with self._door.reachable():
                    line = await anext(lines, None)
                if line is None:
                    return
                if line.startswith("data:"):
                    yield VideoResponse.model_validate_json(line.removeprefix("data:"))


class AsyncVideos:
    """``client.videos``: every method raises ServerUnreachable and RequestRefused."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door

    async def create(
        self,
        *,
        prompt: str,
        seconds: float | None = None,
        num_frames: int | None = None,
        size: str | None = None,
        fps: int | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        input_reference: ImageSource | None = None,
        state: GivenState | None = None,
        return_state: bool = False,
        model: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncVideoJob:
        """Ask for a video; what is None is up to the operator. ``size``: ``WIDTHxHEIGHT``.

        ``input_reference``: the first image, a path of this machine or the file's bytes. ``state``: go on from the end
        of an earlier video. With an ``idempotency_key`` that was used before, the video of that time comes back.
        """
        body = {
            "prompt": prompt,
            "seconds": seconds,
            "num_frames": num_frames,
            "size": size,
            "fps": fps,
            "seed": seed,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
            "input_reference": ImageFile.read(input_reference).data_url if input_reference is not None else None,
            "state": _envelope(state) if state is not None else None,
            "return_state": return_state or None,
            "model": model,
        }
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
        asked = {name: value for name, value in body.items() if value is not None}
        return self._job(await self._door.fetch("POST", "/v1/videos", body=asked, headers=headers))

    async def retrieve(self, video_id: str) -> AsyncVideoJob:
        """A video by its id."""
        if not video_id:
            raise ValueError("expected the id of a video, got nothing")
        return self._job(await self._door.fetch("GET", f"/v1/videos/{quote(video_id, safe='')}"))

    async def list(self, *, order: Literal["asc", "desc"] = "desc") -> AsyncGenerator[AsyncVideoJob, None]:
        """All videos that are the caller's to see, newest first unless ``order`` is ``asc``; pages are fetched as they
        are reached."""
        query: dict[str, str | int] = {"order": order, "limit": 100}
        while True:
            page = VideoListResponse.model_validate_json(await self._door.fetch("GET", "/v1/videos", query=query))
            for video in page.data:
                yield AsyncVideoJob(self._door, video)
            if not page.has_more or page.last_id is None:
                return
            query["after"] = page.last_id

    async def delete(self, video_id: str) -> VideoResponse:
        """Stop a video if it is being made, and remove all there is of it."""
        return await (await self.retrieve(video_id)).delete()

    def _job(self, answer: bytes) -> AsyncVideoJob:
        return AsyncVideoJob(self._door, _video(answer))


def _video(answer: bytes) -> VideoResponse:
    try:
        return VideoResponse.model_validate_json(answer)
    except ValueError as error:
        raise ProtocolViolation("expected a video, got an answer that is none") from error


def _envelope(state: GivenState) -> dict[str, Any]:
    if isinstance(state, StateEnvelope):
        return state.model_dump(mode="json", exclude_none=True)
    return {"kind": state.kind, "payload": state.payload} if isinstance(state, ContinuationState) else dict(state)

"""Videos and images for programs without an event loop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fastvideo.client.background_loop import BackgroundLoop
from fastvideo.client.image_file import ImageSource
from fastvideo.client.images import AsyncImages, GeneratedImage, ImageFormat
from fastvideo.client.patience import PATIENCE_S
from fastvideo.client.videos import AsyncVideoJob, AsyncVideos, GivenState, Progress
from fastvideo.entrypoints.openai.protocol import StateEnvelope, VideoResponse


class VideoJob:
    """One video of a server: ``video`` is what was last heard of it. The same as :class:`AsyncVideoJob`."""

    def __init__(self, loop: BackgroundLoop, job: AsyncVideoJob) -> None:
        self._loop = loop
        self._job = job

    @property
    def video(self) -> VideoResponse:
        """What was last heard of it."""
        return self._job.video

    @property
    def id(self) -> str:
        """The server's name for it."""
        return self._job.id

    @property
    def status(self) -> Literal["queued", "in_progress", "completed", "failed", "deleted"]:
        """How it stands, as far as was heard."""
        return self._job.status

    @property
    def progress(self) -> int:
        """How much of it is made, in percent, as far as was heard."""
        return self._job.progress

    @property
    def state(self) -> StateEnvelope | None:
        """Where it ends, for another video to go on from; with ``return_state``, once it is finished."""
        return self._job.state

    def refresh(self) -> VideoResponse:
        """Ask how it stands now."""
        return self._loop.run(self._job.refresh)

    def follow(self, *, patience_s: float = PATIENCE_S) -> Iterator[VideoResponse]:
        """How it stands now, and whenever that changes, until it is over.

        Goes on when the server starts again, unless it is gone for ``patience_s``. Raises ServerUnreachable and
        RequestRefused.
        """
        return self._loop.iterate(self._job.follow(patience_s=patience_s))

    def wait(self, *, progress: Progress | None = None, patience_s: float = PATIENCE_S) -> VideoResponse:
        """Wait until it is made, as :meth:`follow` does; ``progress`` is called with the video whenever it has changed,
        in the thread that waits.

        Raises VideoFailed when it cannot be made or was deleted.
        """
        for video in self.follow(patience_s=patience_s):
            if progress is not None:
                progress(video)
        return self._loop.run(self._job.result)

    def save(self, path: str | os.PathLike[str], *, patience_s: float = PATIENCE_S) -> Path:
        """Download the finished video as an MP4 file, ``<path>.part`` until it is whole; goes on where it was cut."""
        return self._loop.run(partial(self._job.save, path, patience_s=patience_s))

    def content(self) -> bytes:
        """The finished video, an MP4 file."""
        return self._loop.run(self._job.content)

    def delete(self) -> VideoResponse:
        """Stop it if it is being made, and remove all there is of it."""
        return self._loop.run(self._job.delete)


class Videos:
    """``client.videos``: every method raises ServerUnreachable and RequestRefused."""

    def __init__(self, loop: BackgroundLoop, videos: AsyncVideos) -> None:
        self._loop = loop
        self._videos = videos

    def create(
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
    ) -> VideoJob:
        """Ask for a video; what is None is up to the operator. ``size``: ``WIDTHxHEIGHT``.

        ``input_reference``: the first image, a path of this machine or the file's bytes. ``state``: go on from the end
        of an earlier video. With an ``idempotency_key`` that was used before, the video of that time comes back.
        """
        asked: dict[str, Any] = {
            "prompt": prompt,
            "seconds": seconds,
            "num_frames": num_frames,
            "size": size,
            "fps": fps,
            "seed": seed,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
            "input_reference": input_reference,
            "state": state,
            "return_state": return_state,
            "model": model,
            "idempotency_key": idempotency_key,
        }
        return VideoJob(self._loop, self._loop.run(partial(self._videos.create, **asked)))

    def retrieve(self, video_id: str) -> VideoJob:
        """A video by its id."""
        return VideoJob(self._loop, self._loop.run(self._videos.retrieve, video_id))

    def list(self, *, order: Literal["asc", "desc"] = "desc") -> Iterator[VideoJob]:
        """All videos that are the caller's to see, newest first unless ``order`` is ``asc``; pages are fetched as they
        are reached."""
        for job in self._loop.iterate(self._videos.list(order=order)):
            yield VideoJob(self._loop, job)

    def delete(self, video_id: str) -> VideoResponse:
        """Stop a video if it is being made, and remove all there is of it."""
        return self._loop.run(self._videos.delete, video_id)


class Images:
    """``client.images``: every method waits for the images, and raises ServerUnreachable and RequestRefused."""

    def __init__(self, loop: BackgroundLoop, images: AsyncImages) -> None:
        self._loop = loop
        self._images = images

    def generate(
        self,
        *,
        prompt: str,
        n: int = 1,
        size: str | None = None,
        output_format: ImageFormat | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
    ) -> list[GeneratedImage]:
        """Make ``n`` images; what is None is up to the operator. ``size``: ``WIDTHxHEIGHT``."""
        asked: dict[str, Any] = {
            "prompt": prompt,
            "n": n,
            "size": size,
            "output_format": output_format,
            "seed": seed,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
        }
        return self._loop.run(partial(self._images.generate, **asked))

    def edit(
        self,
        *,
        image: ImageSource,
        prompt: str,
        n: int = 1,
        size: str | None = None,
        output_format: ImageFormat | None = None,
        seed: int | None = None,
    ) -> list[GeneratedImage]:
        """Make ``n`` images that begin with one: a path of this machine, or the file's bytes."""
        edit = self._images.edit
        return self._loop.run(
            partial(edit, image=image, prompt=prompt, n=n, size=size, output_format=output_format, seed=seed)
        )

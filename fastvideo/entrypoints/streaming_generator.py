"""``StreamingVideoGenerator``: one clip after another of one story, a step at a time, into a file that grows."""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.limits import RequestLimits
from fastvideo.api.request_metadata import reset_tracking_roots
from fastvideo.api.results import VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import (
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    OutputConfig,
    SamplingConfig,
)
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.media.incremental_writer import IncrementalVideoWriter

__all__ = ["IncrementalVideoWriter", "StreamingVideoGenerator"]

Step = tuple[NDArray[np.uint8], "Future[Path] | None"]

_FILE_NAME = "streaming_output.mp4"


class StreamingVideoGenerator(VideoGenerator):
    """A generator that remembers where a story is. :meth:`reset` begins one, each :meth:`step` makes the next segment,
    :meth:`finalize` ends the file. Frames are coded as they come and not kept.

    ``writer`` is the file that grows, ``block_dir`` the folder of blocks or None, ``block_idx`` the next block's
    number. Steps from several threads come one after the other.
    """

    def __init__(
        self, config: GeneratorConfig, *, pool: GpuPoolConfig | None = None, limits: RequestLimits | None = None
    ) -> None:
        super().__init__(config, pool=pool, limits=limits)
        self.writer: IncrementalVideoWriter | None = None
        self.block_dir: Path | None = None
        self.block_idx = 0
        self._one_step = threading.Lock()
        self._request: GenerationRequest | None = None
        self._state: ContinuationState | None = None
        self._drafts: tempfile.TemporaryDirectory[str] | None = None

    def reset(
        self,
        prompt: str,
        image_path: str | None = None,
        num_frames: int | None = None,
        *,
        negative_prompt: str | None = None,
        output_path: str | Path | None = None,
        block_dir: str | Path | None = None,
        **sampling: Any,
    ) -> None:
        """Begin a story with ``prompt``, and with the first frame that ``image_path`` shows.

        ``num_frames`` (rounded to 8k+1) and ``sampling``, fields of SamplingConfig, hold for every segment; the
        preset's values stand for those left out. ``output_path`` is the file; without one it is named in
        :meth:`finalize`. ``block_dir`` gets each segment as a file of its own. What was not finalized is dropped.
        Raises TypeError for other arguments, ConfigValidationError for values that cannot be made, FileExistsError.
        """
        known = {spec.name for spec in fields(SamplingConfig)}
        unknown = sorted(set(sampling) - known)
        if unknown:
            raise TypeError(f"reset takes fields of SamplingConfig, not {', '.join(unknown)}")
        if num_frames is not None:
            sampling["num_frames"] = num_frames
        request = GenerationRequest(
            prompt=prompt,
            sampling=SamplingConfig(**sampling),
            output=OutputConfig(save_video=False, return_frames=False, return_state=True),
        )
        if negative_prompt is not None:
            request.negative_prompt = negative_prompt
        if image_path is not None:
            request.inputs.image_path = image_path
        fps = self.resolve(request).sampling.fps
        with self._one_step:
            self._drop()
            path = Path(output_path) if output_path is not None else self._draft()
            self.writer = IncrementalVideoWriter(path, fps, block_dir)
            self.block_dir, self.block_idx = self.writer.block_dir, 0
            self._request, self._state = request, None

    def step(self, prompt: str | None = None) -> Step:
        """The next segment's new frames, uint8 [N, H, W, 3], and what its coding will give: the file that has it.

        ``prompt`` is followed from here on. Raises RuntimeError before :meth:`reset`, and what :meth:`stream` raises;
        the story then still stands where it was.
        """
        return self._step(prompt, CancellationToken())

    async def step_async(self, prompt: str | None = None) -> Step:
        """:meth:`step`, off the event loop. Cancelling it ends the work within one denoising step."""
        cancel = CancellationToken()
        work = asyncio.get_running_loop().run_in_executor(None, self._step, prompt, cancel)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            cancel.cancel()
            await asyncio.wait([work])
            # Whatever the abandoned step raised, nobody waits for it any more.
            work.exception()
            raise

    def finalize(self, output_path: str | Path | None = None) -> str:
        """End the file and return its path, or "" when no segment was made. Another story can begin with :meth:`reset`.

        ``output_path`` is where it goes, unless :meth:`reset` named a place and none is given here; else
        ``streaming_output.mp4``. Raises FileExistsError, and what broke the coding.
        """
        with self._one_step:
            writer = self.writer
            if writer is None or not self.block_idx:
                self._drop()
                return ""
            path = writer.path
            if output_path is not None or self._drafts is not None:
                path = Path(_FILE_NAME if output_path is None else output_path)
            moves = path != writer.path
            if moves and path.exists():
                raise FileExistsError(f"{path} is there already: name another file")
            writer.close()
            if moves:
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(writer.path, path)
            self._drop()
            return str(path)

    def shutdown(self) -> None:
        """As :meth:`VideoGenerator.shutdown`; a file with a name is ended, one without is dropped."""
        super().shutdown()
        with self._one_step:
            self._drop()

    def _step(self, prompt: str | None, cancel: CancellationToken) -> Step:
        with self._one_step:
            if self._request is None or self.writer is None:
                raise RuntimeError("there is no story to go on with: call reset first")
            request = reset_tracking_roots(copy.deepcopy(self._request))
            if prompt is not None:
                request.prompt = prompt
            request.state = self._state
            chunks: list[NDArray[np.uint8]] = []
            sound: NDArray[np.float32] | None = None
            rate_hz: int | None = None
            state: ContinuationState | None = None
            for event in self.stream(request, cancel=cancel):
                if isinstance(event, VideoPartialEvent):
                    chunks.append(event.frames)
                    if event.audio is not None:
                        sound, rate_hz = event.audio, event.audio_sample_rate
                elif isinstance(event, VideoFinalEvent):
                    state = event.continuation_state
            frames = np.concatenate(chunks)
            written = self.writer.add_frames(frames, sound, rate_hz)
            # What is shown at first is in the state from here on.
            request.inputs.image_path = None
            self._request, self._state = request, state
            self.block_idx += 1
            return frames, written

    def _draft(self) -> Path:
        self._drafts = tempfile.TemporaryDirectory(prefix="fastvideo-")
        return Path(self._drafts.name) / _FILE_NAME

    def _drop(self) -> None:
        writer, self.writer = self.writer, None
        drafts, self._drafts = self._drafts, None
        self._request = self._state = None
        try:
            if writer is not None:
                writer.close()
        finally:
            if drafts is not None:
                drafts.cleanup()

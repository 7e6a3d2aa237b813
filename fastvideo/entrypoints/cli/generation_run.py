"""The videos of ``fastvideo generate``, one after the other, with what a person or a program reads of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastvideo.api.errors import FastVideoError
from fastvideo.api.results import GenerationResult, VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import GenerationRequest, GeneratorConfig
from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.progress import ProgressLine


@dataclass(frozen=True)
class NumberedRequest:
    """A request for one video, and which of ``total`` it is, counted from 0."""

    index: int
    total: int
    request: GenerationRequest


class EventGenerator(Protocol):
    """What of a ``VideoGenerator`` is used."""

    def generate_async(self, request: GenerationRequest) -> AsyncGenerator[VideoEvent, None]: ...

    def shutdown(self) -> None: ...


def load_generator(config: GeneratorConfig) -> EventGenerator:
    """The model. Raises ConfigValidationError or CheckpointError."""
    from fastvideo.entrypoints.video_generator import VideoGenerator

    return VideoGenerator.from_config(config)


class GenerationRun:
    """Videos go to files, a line about each to standard output, and progress to standard error.

    ``json_lines``: those lines are JSON objects, and there is no progress. A video that fails is told of, and the next
    one is made.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        json_lines: bool = False,
        load: Callable[[GeneratorConfig], EventGenerator] = load_generator,
    ) -> None:
        self._config = config
        self._json_lines = json_lines
        self._load = load
        self._progress = ProgressLine(quiet=json_lines)

    def run(self, requests: Sequence[NumberedRequest]) -> int:
        """Make them all; the exit code is 0 when none failed. Raises what loading the model raises."""
        with self._progress:
            self._progress.say(f"loading {self._config.model_path}")
            generator = self._load(self._config)
            try:
                failures = asyncio.run(self._all(generator, requests))
            finally:
                generator.shutdown()
        return ExitCode.FAILED if failures else ExitCode.DONE

    async def _all(self, generator: EventGenerator, requests: Sequence[NumberedRequest]) -> int:
        failures = 0
        for numbered in requests:
            try:
                result = await self._one(generator, numbered)
            except (FastVideoError, ValueError, OSError) as error:
                failures += 1
                self._failed(numbered, str(error))
            else:
                self._made(numbered, result)
        return failures

    async def _one(self, generator: EventGenerator, numbered: NumberedRequest) -> GenerationResult:
        label = f"video {numbered.index + 1} of {numbered.total}: " if numbered.total > 1 else ""
        frames = 0
        result: GenerationResult | None = None
        async with contextlib.aclosing(generator.generate_async(numbered.request)) as events:
            async for event in events:
                if isinstance(event, VideoProgressEvent):
                    self._progress.update(f"{label}{event.stage}", event.step, event.total_steps)
                elif isinstance(event, VideoPartialEvent):
                    frames += len(event.frames)
                    self._progress.show(f"{label}decode {frames} frames")
                elif isinstance(event, VideoFinalEvent):
                    result = event.result
        assert result is not None
        self._progress.close()
        return result

    def _made(self, numbered: NumberedRequest, result: GenerationResult) -> None:
        if not self._json_lines:
            print(described(result), flush=True)
            return
        said = {
            "prompt_index": numbered.index,
            "prompt": result.prompt,
            "video_path": result.video_path,
            "size": list(result.size) if result.size else None,
            "generation_time_s": result.generation_time,
            "peak_memory_mb": result.peak_memory_mb,
        }
        print(json.dumps(said), flush=True)

    def _failed(self, numbered: NumberedRequest, why: str) -> None:
        self._progress.close()
        if self._json_lines:
            said = {"prompt_index": numbered.index, "prompt": numbered.request.prompt, "error": why}
            print(json.dumps(said), flush=True)
        else:
            which = f" {numbered.index + 1} of {numbered.total}" if numbered.total > 1 else ""
            print(f"fastvideo generate: video{which} was not made: {why}", file=sys.stderr, flush=True)


def described(result: GenerationResult) -> str:
    """The line about a video that people read."""
    about = []
    if result.size is not None:
        height, width, frames = result.size
        about.append(f"{width}x{height}, {frames} frames")
    if result.generation_time is not None:
        about.append(f"made in {result.generation_time:.1f} s")
    return f"{result.video_path or 'not kept'}: {', '.join(about)}"

"""The real server around the fake generator: `python -m fastvideo.entrypoints.streaming.mock_server`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fastapi import FastAPI

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import (
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    SamplingConfig,
    ServeConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.server import build_app
from fastvideo.entrypoints.streaming.start_failure import EXIT_CODE, StartFailure
from fastvideo.entrypoints.streaming.stream_server import bind, serve

__all__ = ["MAX_SESSIONS", "MockGenerator", "build_mock_app", "main"]

MAX_SESSIONS = 64


def build_mock_app(
    *,
    sleep_ms: float = 0.0,
    realtime_factor: float | None = None,
    jitter: float = 0.0,
    width: int = 256,
    height: int = 256,
    num_frames: int = 24,
    fps: int = 24,
    num_inference_steps: int = 1,
    segment_cap: int = 6,
    drain_timeout_seconds: float = 30.0,
) -> FastAPI:
    """The streaming app for 64 sessions on one fake worker, ready at once; ConfigValidationError for a bad pace."""
    sampling = SamplingConfig(
        width=width, height=height, num_frames=num_frames, fps=fps, num_inference_steps=num_inference_steps
    )
    streaming = StreamingConfig(
        session_timeout_seconds=120,
        generation_segment_cap=segment_cap,
        max_sessions=MAX_SESSIONS,
        drain_timeout_seconds=drain_timeout_seconds,
        pool=GpuPoolConfig(sessions_per_worker=MAX_SESSIONS),
        warmup=WarmupConfig(enabled=False),
    )
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        default_request=GenerationRequest(sampling=sampling),
        streaming=streaming,
    )
    return build_app(config, MockGenerator(sleep_ms, realtime_factor, jitter))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, and drain; gives the exit code. Prints the address once the port is bound."""
    parser = argparse.ArgumentParser(prog="python -m fastvideo.entrypoints.streaming.mock_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--sleep-ms", type=float, default=0.0, help="time per segment, spread over its steps")
    parser.add_argument("--rtf", type=float, default=None, help="generation time over playback time, such as 0.9")
    parser.add_argument("--jitter", type=float, default=0.0, help="largest relative change of that, 0 to 1")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--num-frames", type=int, default=24)
    parser.add_argument("--steps", type=int, default=1, help="denoising steps per segment")
    parser.add_argument("--segment-cap", type=int, default=6, help="segments per session")
    parser.add_argument(
        "--drain-timeout", type=float, default=30.0, help="seconds that a running segment has to end after SIGTERM"
    )
    options = parser.parse_args(arguments)
    if not options.drain_timeout > 0:
        parser.error(f"expected a --drain-timeout of more than 0, got {options.drain_timeout:g}")
    try:
        app = build_mock_app(
            sleep_ms=options.sleep_ms,
            realtime_factor=options.rtf,
            jitter=options.jitter,
            width=options.width,
            height=options.height,
            num_frames=options.num_frames,
            num_inference_steps=options.steps,
            segment_cap=options.segment_cap,
            drain_timeout_seconds=options.drain_timeout,
        )
    except ConfigValidationError as error:
        parser.error(error.message)
    try:
        with bind(options.host, options.port) as listener:
            serve(app, "fastvideo mock server", listener)
    except StartFailure as error:
        print(f"fastvideo mock server: {error}", file=sys.stderr)
        return EXIT_CODE
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The server under measurement: ours, around frames that are ready (``--clip``) or media that is coded (``--replay``).

Prints ``{"port": N}`` first, then one line of stamps per generated segment.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.bench_worker import BenchLaunch
from benchmarks.clip import FPS, read_clip, sound
from benchmarks.ready_generator import ReadyGenerator
from benchmarks.replay import ReplayLoad
from benchmarks.replay_pool import ReplayPool
from fastvideo.api.schema import (
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    PacingConfig,
    PromptEndpointConfig,
    PromptEnhancerConfig,
    PromptSafetyConfig,
    ResumeConfig,
    SamplingConfig,
    ServeConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.streaming.gpu_pool import GpuPool, SubprocessGpuPool
from fastvideo.entrypoints.streaming.server import build_app, build_server

_MANY = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clip", type=Path, help="a .npy file of frames, uint8 [T, H, W, 3]")
    source.add_argument("--replay", type=ReplayLoad.from_json, help="a load of coded media, as JSON")
    parser.add_argument("--workers", type=int, default=0, help="processes that replay; 0: a thread of this one")
    parser.add_argument("--carry-state", action="store_true", help="write and read LTX-2's continuation state")
    parser.add_argument("--language-model", metavar="URL", help="an OpenAI-compatible service that words prompts")
    parser.add_argument("--classifier", metavar="PATH", help="a fastText classifier that checks prompts")
    parser.add_argument("--lead-seconds", type=float, help="pacing of what follows by itself; a clip has none")
    parser.add_argument("--max-sessions", type=int, default=64)
    parser.add_argument("--grace-seconds", type=float, default=30.0, help="how long to wait for a lost client; 0: not")
    arguments = parser.parse_args()

    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        streaming=StreamingConfig(
            session_timeout_seconds=3600,
            generation_segment_cap=_MANY,
            warmup=WarmupConfig(enabled=False),
            pool=GpuPoolConfig(sessions_per_worker=arguments.max_sessions),
            max_sessions=arguments.max_sessions,
            encoder="libx264",
            resume=ResumeConfig(grace_seconds=arguments.grace_seconds),
            prompt=_prompts(arguments.language_model),
            safety=PromptSafetyConfig(enabled=arguments.classifier is not None, classifier_path=arguments.classifier),
        ),
    )
    assert config.streaming is not None
    if arguments.replay is not None:
        if arguments.lead_seconds is not None:
            config.streaming.pacing = PacingConfig(lead_seconds=arguments.lead_seconds)
        app = build_app(config, pool=_replay_pool(arguments.replay, arguments.workers, arguments.max_sessions))
    else:
        clip = read_clip(arguments.clip)
        frames, height, width, _ = clip.shape
        config.default_request = GenerationRequest(
            sampling=SamplingConfig(width=width, height=height, num_frames=frames, fps=FPS, num_inference_steps=1)
        )
        lead_s = _MANY if arguments.lead_seconds is None else arguments.lead_seconds
        config.streaming.pacing = PacingConfig(lead_seconds=lead_s)
        generator = ReadyGenerator(clip, sound(frames), stamp=_print, carry_state=arguments.carry_state)
        app = build_app(config, generator)
    listener = socket.create_server(("127.0.0.1", 0))
    server = build_server(app, host="127.0.0.1", port=0, log_level="warning")
    _print({"port": listener.getsockname()[1]})
    server.run(sockets=[listener])
    return 0


def _prompts(url: str | None) -> PromptEnhancerConfig:
    if url is None:
        return PromptEnhancerConfig()
    return PromptEnhancerConfig(enabled=True, providers=[PromptEndpointConfig("local", base_url=url)])


def _replay_pool(load: ReplayLoad, workers: int, max_sessions: int) -> GpuPool:
    if workers == 0:
        return ReplayPool(load, sessions_per_worker=max_sessions)
    each = replace(load, sessions=load.sessions // workers)
    settings = GpuPoolConfig(num_workers=workers, sessions_per_worker=max_sessions)
    launch = BenchLaunch("--replay", each.to_json())
    return SubprocessGpuPool(GeneratorConfig("mock:"), pool_config=settings, launch=launch)


def _print(content: dict[str, float]) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""The real server around the fake generator, on a loop and a thread of its own, as bench meets one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastvideo.api.schema import (
    AuthConfig,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    OpenAIConfig,
    SamplingConfig,
    ServeConfig,
    ServerConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.server import build_app, build_server

FRAMES = FPS = 24


@contextmanager
def serving(
    folder: Path, *, auth: AuthConfig | None = None, openai: dict[str, Any] | None = None, **streaming: Any
) -> Iterator[str]:
    """Serve streams and jobs with some settings, results in ``folder``; gives the address."""
    sampling = SamplingConfig(width=64, height=64, num_frames=FRAMES, fps=FPS, num_inference_steps=1)
    values: dict[str, Any] = {
        "warmup": WarmupConfig(enabled=False),
        "pool": GpuPoolConfig(sessions_per_worker=8),
        "generation_segment_cap": 100,
        **streaming,
    }
    config = ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        server=ServerConfig(output_dir=str(folder), auth=auth or AuthConfig()),
        default_request=GenerationRequest(sampling=sampling),
        streaming=StreamingConfig(**values),
        openai=OpenAIConfig(**(openai or {})),
    )
    server = build_server(build_app(config, MockGenerator()), host="127.0.0.1", port=0, log_level="warning")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()

"""The API around small generators, in this process: no sockets, and files in a folder of the test."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.results import VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import (
    AuthConfig,
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    OpenAIConfig,
    QuotasConfig,
    SamplingConfig,
    ServeConfig,
    ServerConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.entrypoints.openai.api_server import create_app
from fastvideo.entrypoints.openai.door import OpenAIDoor
from fastvideo.entrypoints.openai.job import Job
from fastvideo.entrypoints.streaming.server import build_app

FRAMES, FPS, SIZE_PX = 8, 8, 64


class SteppedGenerator:
    """Eight frames in two steps. ``hold()`` makes each step wait for ``allow()``; ``requests`` keeps what came;
    ``peaks_mb`` are the peaks of memory that it reports, one after the other, until there is none."""

    model_id = "stepped"

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.images: list[bytes] = []
        self.cancelled: list[str] = []
        self.peaks_mb: list[float] = []
        self.failures: dict[str, Exception] = {}
        self.reached = threading.Semaphore(0)
        self._gate: threading.Semaphore | None = None

    def hold(self) -> None:
        self._gate = threading.Semaphore(0)

    def allow(self, steps: int = 1) -> None:
        assert self._gate is not None
        self._gate.release(steps)

    def free(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release(10_000)

    def stream(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> Iterator[VideoEvent]:
        assert cancel is not None
        assert isinstance(request.prompt, str)
        try:
            yield from self._made(request, request.prompt, cancel)
        except BaseException:
            self.cancelled.append(request.prompt)
            raise

    def generate(self, request: GenerationRequest, *, cancel: CancellationToken | None = None) -> dict[str, Any]:
        events = list(self.stream(request, cancel=cancel or CancellationToken()))
        frames = [event.frames for event in events if isinstance(event, VideoPartialEvent)]
        return {"frames": np.concatenate(frames), **events[-1].metadata}

    def _made(self, request: GenerationRequest, prompt: str, cancel: CancellationToken) -> Iterator[VideoEvent]:
        self.requests.append(request)
        if isinstance(request.inputs.image_path, str):
            self.images.append(Path(request.inputs.image_path).read_bytes())
        sampling = request.sampling
        yield VideoProgressEvent(0, 2)
        for step in (1, 2):
            gate = self._gate
            self.reached.release()
            if gate is not None:
                assert gate.acquire(timeout=30)
            cancel.raise_if_cancelled()
            yield VideoProgressEvent(step, 2)
        if prompt in self.failures:
            raise self.failures[prompt]
        shape = (sampling.num_frames, sampling.height, sampling.width, 3)
        sound = np.zeros((2, sampling.num_frames * 24_000 // sampling.fps), np.float32)
        yield VideoPartialEvent(np.full(shape, sampling.seed % 256, np.uint8), 0, sound, 24_000)
        before = request.state.payload["segment_index"] if request.state else -1
        payload = {"schema_version": 1, "segment_index": before + 1}
        metadata = {"peak_memory_mb": self.peaks_mb.pop(0)} if self.peaks_mb else {}
        yield VideoFinalEvent(metadata=metadata, continuation_state=ContinuationState("ltx2.v1", payload))


def make_config(
    folder: Path,
    *,
    streaming: dict[str, Any] | None = None,
    auth: AuthConfig | None = None,
    quotas: QuotasConfig | None = None,
    **openai: Any,
) -> ServeConfig:
    sampling = SamplingConfig(width=SIZE_PX, height=SIZE_PX, num_frames=FRAMES, fps=FPS, num_inference_steps=2)
    values: dict[str, Any] = {"warmup": WarmupConfig(enabled=False), "encoder": "libx264", **(streaming or {})}
    return ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        server=ServerConfig(output_dir=str(folder), auth=auth or AuthConfig(), quotas=quotas or QuotasConfig()),
        default_request=GenerationRequest(sampling=sampling),
        streaming=StreamingConfig(**values),
        openai=OpenAIConfig(**{"listing": "everyone", **openai}),
    )


class Api:
    """A running API and a client of it."""

    def __init__(self, app: Any, generator: Any, folder: Path) -> None:
        self.app = app
        self.generator = generator
        self.folder = folder / "results"
        self.door: OpenAIDoor = app.state.openai
        # The client is on this machine and asks for it by name.
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", timeout=30)

    async def create(self, prompt: str = "a prompt", **fields: Any) -> dict[str, Any]:
        answer = await self.client.post("/v1/videos", json={"prompt": prompt, **fields})
        assert answer.status_code == 200, answer.text
        video: dict[str, Any] = answer.json()
        return video

    async def video(self, video_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/videos/{video_id}")
        assert answer.status_code == 200, answer.text
        video: dict[str, Any] = answer.json()
        return video

    async def ended(self, video_id: str) -> dict[str, Any]:
        job = self.door.jobs.get(video_id, "video")
        assert job is not None
        async with asyncio.timeout(30):
            await self.door.jobs.outcome(job)
        return await self.video(video_id)

    async def made(self, prompt: str = "a prompt", **fields: Any) -> dict[str, Any]:
        return await self.ended((await self.create(prompt, **fields))["id"])

    async def content(self, video_id: str) -> bytes:
        answer = await self.client.get(f"/v1/videos/{video_id}/content")
        assert answer.status_code == 200, answer.text
        return answer.content

    async def step(self) -> None:
        """Wait until the generator begins its next step."""
        assert await asyncio.to_thread(self.generator.reached.acquire, timeout=30)

    def listed(self) -> tuple[list[Job], bool]:
        """The newest jobs, and whether there are more."""
        return self.door.jobs.listed(lambda record: True, after=None, limit=9, newest_first=True)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.is_file() and path.name != ".lock")


@contextlib.asynccontextmanager
async def running(
    folder: Path, generator: Any = None, *, live: bool = False, pool: Any = None, **settings: Any
) -> AsyncIterator[Api]:
    """The API around a generator; everything is closed, and nothing left behind, at the end."""
    made = generator or SteppedGenerator()
    config = make_config(folder, **settings)
    around = None if pool is not None else made
    app = build_app(config, around, pool=pool) if live else create_app(config, around, pool=pool)
    api = Api(app, made, folder)
    async with app.router.lifespan_context(app):
        try:
            yield api
        finally:
            if hasattr(made, "free"):
                made.free()
            await api.client.aclose()


def png(width: int = 48, height: int = 32, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def frames_of(data: bytes) -> int:
    """How many pictures a file really has."""
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


class Kit:
    """What tests build from; a fixture, because test folders are no packages."""

    Generator = SteppedGenerator
    Pool = GpuPoolConfig
    config = staticmethod(make_config)
    running = staticmethod(running)
    png = staticmethod(png)
    frames_of = staticmethod(frames_of)


@pytest.fixture
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
def until() -> Callable[..., Any]:
    async def wait(condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  # what other threads do has no event to wait for
                await asyncio.sleep(0.002)

    return wait

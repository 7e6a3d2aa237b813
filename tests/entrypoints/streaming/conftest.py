"""A small generator whose every step a test can hold, and the pieces around it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.results import VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import (
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    OutputConfig,
    SamplingConfig,
    ServeConfig,
    StreamingConfig,
    WarmupConfig,
)
from fastvideo.api.upcoming_text import UpcomingText
from fastvideo.entrypoints.streaming import arrivals
from fastvideo.entrypoints.streaming.connection import BROKEN, ConnectionLost
from fastvideo.entrypoints.streaming.protocol import SessionResume
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster
from fastvideo.entrypoints.streaming.runner import SessionRunner
from fastvideo.entrypoints.streaming.segment_events import SegmentJob
from fastvideo.entrypoints.streaming.server import build_app
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.worker_process import WorkerLoop
from fastvideo.media.movie_fragment import last_sequence
from fastvideo.media.timeline import MediaCursor

SIZE_PX = 64
FRAMES = 8
FPS = 8


class StepGenerator:
    """Two frames a partial, a tone, and a state that counts. ``hold()`` makes each step wait for ``allow(n)``.

    ``token`` is the running segment's. ``noise`` makes pictures that code to many bytes. ``trace`` lists
    ("step" | "cancelled" | "done", prompt); ``requests`` keeps what came, and ``ahead`` the prompt that ran when it
    was told what comes next, with that.
    """

    model_id = "steps"
    encodes_ahead = True

    def __init__(self, *, frames: int = FRAMES, with_state: bool = True, noise: bool = False) -> None:
        self.requests: list[GenerationRequest] = []
        self.ahead: list[tuple[str, GenerationRequest]] = []
        self.trace: list[tuple[str, str]] = []
        self.failures: dict[str, Callable[[], BaseException]] = {}
        self.fail_after_frames: int | None = None
        self.reached = threading.Semaphore(0)
        self.token = CancellationToken()
        self._gate: threading.Semaphore | None = None
        self._frames = frames
        self._with_state = with_state
        self._noise = np.random.default_rng(0) if noise else None

    def hold(self) -> None:
        self._gate = threading.Semaphore(0)

    def allow(self, steps: int = 1) -> None:
        assert self._gate is not None
        self._gate.release(steps)

    def free(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release(1000)

    def stream(
        self,
        request: GenerationRequest,
        *,
        cancel: CancellationToken | None = None,
        upcoming: UpcomingText | None = None,
    ) -> Iterator[VideoEvent]:
        assert isinstance(request.prompt, str)
        assert cancel is not None
        self.requests.append(request)
        self.token = cancel
        try:
            for event in self._stream(request, request.prompt, cancel):
                yield event
                if upcoming is not None and (following := upcoming.take()) is not None:
                    self.ahead.append((request.prompt, following))
        except BaseException:
            self.trace.append(("cancelled", request.prompt))
            raise
        self.trace.append(("done", request.prompt))

    def _stream(self, request: GenerationRequest, prompt: str, cancel: CancellationToken) -> Iterator[VideoEvent]:
        sampling = request.sampling
        steps = sampling.num_inference_steps
        yield VideoProgressEvent(0, steps)
        for step in range(1, steps + 1):
            self._wait()
            cancel.raise_if_cancelled()
            self.trace.append(("step", prompt))
            yield VideoProgressEvent(step, steps)
        if prompt in self.failures and self.fail_after_frames is None:
            raise self.failures[prompt]()
        t = np.arange(self._frames * 24_000 // sampling.fps) / 24_000
        sound = np.tile(0.1 * np.sin(2 * np.pi * 220 * t), (2, 1)).astype(np.float32)
        for index, first in enumerate(range(0, self._frames, 2)):
            if index:
                self._wait()
                cancel.raise_if_cancelled()
            if prompt in self.failures and first == self.fail_after_frames:
                raise self.failures[prompt]()
            shape = (2, sampling.height, sampling.width, 3)
            picture = np.full(shape, 20 * first % 256, np.uint8)
            if self._noise is not None:
                picture = self._noise.integers(0, 256, shape, dtype=np.uint8)
            audio = (sound, 24_000) if index == 0 else (None, None)
            yield VideoPartialEvent(picture, index, *audio)
        before = request.state.payload["segment_index"] if request.state else -1
        state = ContinuationState("ltx2.v1", {"schema_version": 1, "segment_index": before + 1})
        yield VideoFinalEvent(
            metadata={"timings": {"denoise": 1.0}}, continuation_state=state if self._with_state else None
        )

    def _wait(self) -> None:
        gate = self._gate
        self.reached.release()
        if gate is not None:
            assert gate.acquire(timeout=30)


class WholeGenerator:
    """A third-party generator: one blocking call, a mapping as result."""

    def __init__(self, result: Callable[[GenerationRequest], Any] | None = None) -> None:
        self.requests: list[GenerationRequest] = []
        self._result = result or self._default

    def generate(self, request: GenerationRequest) -> Any:
        self.requests.append(request)
        return self._result(request)

    @staticmethod
    def _default(request: GenerationRequest) -> dict[str, Any]:
        shape = (request.sampling.height, request.sampling.width, 3)
        return {
            "frames": [np.full(shape, 30 * index, np.uint8) for index in range(FRAMES)],
            "audio_sample_rate": 24_000,
            "state": {"kind": "ltx2.v1", "payload": {"schema_version": 1, "segment_index": 0}},
        }


def make_request(prompt: str = "a prompt", **sampling: Any) -> GenerationRequest:
    values = {
        "width": SIZE_PX,
        "height": SIZE_PX,
        "num_frames": FRAMES,
        "fps": FPS,
        "num_inference_steps": 2,
        **sampling,
    }
    return GenerationRequest(
        prompt=prompt, sampling=SamplingConfig(**values), output=OutputConfig(save_video=False, return_state=True)
    )


def make_job(
    prompt: str = "a prompt", cursor: MediaCursor | None = None, index: int = 0, **sampling: Any
) -> SegmentJob:
    return SegmentJob(make_request(prompt, **sampling), cursor or MediaCursor.start(), index, encoder="libx264")


def make_config(**streaming: Any) -> ServeConfig:
    values = {"warmup": WarmupConfig(enabled=False), "encoder": "libx264", "max_sessions": 16, **streaming}
    request = make_request()
    return ServeConfig(
        generator=GeneratorConfig(model_path="mock:"),
        default_request=GenerationRequest(sampling=request.sampling),
        streaming=StreamingConfig(**values),
    )


class FakeClient:
    """A client and its connection in one: what it says is read by the runner, what the runner sends is kept here."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any] | bytes] = []
        self.closed: tuple[int, str] | None = None
        self.broken = asyncio.Event()
        self.breaks_after: int | None = None
        self.runner: Any = None
        self.before: FakeClient | None = None
        self.reading = asyncio.Event()
        self.reading.set()
        self._said: asyncio.Queue[str | bytes | ConnectionLost] = asyncio.Queue()
        self._lost: ConnectionLost | None = None

    def say(self, kind: str, **fields: Any) -> None:
        self.raw(json.dumps({"type": kind, **fields}))

    def raw(self, frame: str | bytes) -> None:
        self._said.put_nowait(frame)

    def leave(self) -> None:
        self._end(ConnectionLost(1001))

    def lose(self) -> None:
        """The connection breaks."""
        self._end(ConnectionLost(BROKEN))

    def _end(self, lost: ConnectionLost) -> None:
        self._lost = lost
        self.broken.set()
        self._said.put_nowait(lost)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.received if isinstance(item, dict) and item["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [item["type"] if isinstance(item, dict) else "media" for item in self.received]

    @property
    def stream(self) -> list[dict[str, Any] | bytes]:
        """All that came over all connections of the client, without answers to its coming back."""
        return self.received if self.before is None else self.before.stream + self.received[1:]

    @property
    def place(self) -> dict[str, int]:
        """Where in its stream the client stands, as it says when it comes back."""
        last, after = 0, 0
        for item in self.stream:
            sequence = last_sequence(item) if isinstance(item, bytes) else None
            last, after = (last, after + 1) if sequence is None else (sequence, 0)
        return {"last_sequence": last, "frames_after": after}

    @property
    def media(self) -> list[bytes]:
        return [item for item in self.received if isinstance(item, bytes)]

    async def hears(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait for the ``count``-th message of a kind."""
        await until(lambda: len(self.of(kind)) >= count or self.closed)
        assert len(self.of(kind)) >= count, f"no {kind} ({count}) in {self.kinds}"
        return self.of(kind)[count - 1]

    async def settled(self) -> None:
        """Wait until what was said before has been answered."""
        self.say("ping", id="settle")
        await self.hears("pong", len(self.of("pong")) + 1)

    async def receive(self) -> str | bytes:
        item = await self._said.get()
        if isinstance(item, ConnectionLost):
            raise item
        return item

    async def send(self, frame: str | bytes) -> None:
        await self.reading.wait()
        if self._lost is not None:
            raise self._lost
        if self.breaks_after is not None and len(self.received) >= self.breaks_after:
            # What is sent in this moment never arrives.
            self.lose()
            return
        self.received.append(json.loads(frame) if isinstance(frame, str) else frame)

    async def close(self, code: int, reason: str) -> bool:
        if self._lost is not None:
            return False
        self.closed = (code, reason)
        return True


class Stage:
    """A server without sockets: ``open()`` starts a session for a new fake client."""

    def __init__(self, generator: Any, config: ServeConfig, pool: Any = None, prompts: Any = None) -> None:
        self.app = app = build_app(config, generator if pool is None else None, pool=pool, prompts=prompts)
        self.generator = generator
        self.server: ServerState = app.state.server_state
        self.sessions: list[asyncio.Task[None]] = []
        self.returns: list[asyncio.Task[None]] = []

    def connect(self) -> FakeClient:
        client = FakeClient()
        session = self.server.sessions.create(now=self.server.clock())
        runner = SessionRunner(client, session, self.server)
        client.runner = runner
        self.sessions.append(asyncio.create_task(runner.run()))
        return client

    def open(self, **fields: Any) -> FakeClient:
        client = self.connect()
        client.say("session_init_v2", **fields)
        return client

    async def held(self, prompt: str = "held", **opening: Any) -> FakeClient:
        """A client whose segment stands before its first step."""
        self.generator.hold()
        client = self.open(**opening)
        client.say("segment_prompt_source", prompt=prompt)
        await client.hears("ltx2_segment_start")
        return client

    @property
    def only_session(self) -> Session:
        """The one session that is not over."""
        (session,) = self.server.sessions.active_sessions()
        return session

    def come_back(self, client: FakeClient, *, breaks_after: int | None = None, **place: int) -> FakeClient:
        """A new connection for a client that lost its own, at the place where that was, or at another."""
        again = FakeClient()
        again.breaks_after = breaks_after
        runner = again.runner = client.runner
        again.before = client
        where = {**client.place, **place}
        message = SessionResume(resume_token=client.of("queue_status")[0]["resume_token"], **where)
        self.returns.append(asyncio.create_task(runner.resume(again, message)))
        return again

    def take_over(self, client: FakeClient, **message: Any) -> FakeClient:
        """A new connection to this server for a client whose session may be another server's."""
        again = FakeClient()
        again.before = client
        token = client.of("queue_status")[0]["resume_token"]
        resume = SessionResume(**{"resume_token": token, **client.place, **message})
        self.returns.append(asyncio.create_task(arrivals.serve_resumed(again, self.server, resume)))
        return again

    async def over(self, index: int = -1) -> None:
        """Wait until a session is over, and check that it took nothing with it."""
        await asyncio.wait_for(self.sessions[index], 20)
        if len(self.server.sessions) == self.server.sessions.parked == 0:
            assert self.server.runners == {}
            assert len(self.server.session_store) == 0
            assert len(self.server.blob_store) == 0
            assert self.server.pool.health().active_sessions == 0


async def until(condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
    """Poll until ``condition()`` holds; fails after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what other threads do has no event to wait for
            await asyncio.sleep(0.002)


def wait_for(condition: Callable[[], Any], *, seconds: float = 20.0) -> bool:
    """:func:`until` for tests without a loop; tells whether it came to hold."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.002)
    return True


class ThreadWorker:
    """A worker whose process is a thread of the test: the same loop and the same bytes, around any generator.

    ``kill()`` is sudden: the connection is gone, and whatever the generator still does reaches nobody.
    """

    def __init__(self, build: Callable[[], Any], *, loop: type[WorkerLoop] = WorkerLoop, **settings: Any) -> None:
        self.connection, self._theirs = socket.socketpair()
        self.output = None
        self.pid = None
        self.killed = False
        self.loop = loop(self._theirs, lambda boot: build(), **settings)
        self.thread = threading.Thread(target=self._run, name="thread-worker", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with self._theirs:
            self.loop.serve()

    def kill(self) -> None:
        self.killed = True
        with contextlib.suppress(OSError):
            self._theirs.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout_s: float) -> bool:
        if self.killed:
            # A process that was killed is gone even if its generator hangs.
            return True
        self.thread.join(timeout_s)
        return not self.thread.is_alive()


def accelerator_error() -> Exception:
    """What torch raises once a device is lost, by its name: most tests do without torch."""
    kind: type[Exception] = type("AcceleratorError", (RuntimeError,), {"__module__": "torch"})
    return kind("CUDA error: an illegal memory access was encountered")


class Fakes:
    """What tests build from; a fixture, because test folders are no packages."""

    StepGenerator = StepGenerator
    WholeGenerator = WholeGenerator
    request = staticmethod(make_request)
    job = staticmethod(make_job)
    config = staticmethod(make_config)
    until = staticmethod(until)
    wait_for = staticmethod(wait_for)
    token = staticmethod(CancellationToken)
    accelerator_error = staticmethod(accelerator_error)
    ThreadWorker = ThreadWorker
    WarmupConfig = WarmupConfig


@pytest.fixture
async def stage() -> AsyncIterator[Callable[..., Stage]]:
    """Makes stages, and ends whatever still runs on them."""
    made: list[Stage] = []

    def make(generator: Any = None, *, pool: Any = None, prompts: Any = None, **streaming: Any) -> Stage:
        made.append(Stage(generator or StepGenerator(), make_config(**streaming), pool, prompts))
        return made[-1]

    yield make
    for one in made:
        if isinstance(one.generator, StepGenerator):
            one.generator.free()
        tasks = [*one.sessions, *one.returns, *one.server.session_tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await one.server.pool.shutdown()
        await one.server.prompts.aclose()
        one.server.log.close_all()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, f"tasks were left behind: {others}"


@pytest.fixture
def fakes() -> type[Fakes]:
    return Fakes


class RayFakes:
    """A real Ray cluster on this machine, and generators of the test's process for its actors."""

    def __init__(self, cluster: RayCluster, relay: Any, actor: Any) -> None:
        self.cluster = cluster
        self.relay = relay
        self.actor = actor


@pytest.fixture(scope="module")
def ray_fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayFakes]:
    """Of a module, because what follows may check that no process is left."""
    name, here = "ray_relay", Path(__file__).parent
    spec = importlib.util.spec_from_file_location(name, here / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        address = str(tmp_path_factory.mktemp("relay") / "socket")
        patch.setenv("PYTHONPATH", str(here))
        patch.setenv(module.ADDRESS_VARIABLE, address)
        cluster = RayCluster(None, workers=4)
        relay = module.Relay(address)
        try:
            cluster.join()
            yield RayFakes(cluster, relay, module.RelayedWorker)
        finally:
            cluster.leave()
            relay.close()

"""The process around the app: its signals, its end, and its failures to start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import websockets

from fastvideo.api.errors import CheckpointError
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig, WarmupConfig
from fastvideo.entrypoints.cli.main import main
from fastvideo.entrypoints.streaming.gpu_pool import SubprocessGpuPool
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.server import build_app
from fastvideo.entrypoints.streaming.start_failure import StartFailure
from fastvideo.entrypoints.streaming.stream_server import bind, build_server, serve

CONFIGS = Path(__file__).parents[3] / "configs"
MOCK = ("fastvideo.entrypoints.streaming.mock_server", "--port", "0", "--steps", "4")
SERVE = ("fastvideo.entrypoints.cli.main", "serve", "--config", str(CONFIGS / "serve_mock_pool.yaml"))
POOL = (
    *(*SERVE, "--server.port", "0", "--streaming.warmup.enabled", "false"),
    *("--default_request.sampling.width", "64", "--default_request.sampling.height", "64"),
    *("--default_request.sampling.num_frames", "49", "--default_request.sampling.num_inference_steps", "4"),
)


class Program:
    """A server in a process of its own, and a client of it that has begun a session."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self._url = url.replace("http", "ws") + "/v1/stream"

    @contextlib.asynccontextmanager
    async def session(self, prompt: str | None = None) -> AsyncIterator[Any]:
        """A session, in the middle of a segment when there is a prompt."""
        async with websockets.connect(self._url, max_size=None, compression=None, proxy=None) as client:
            await client.send(json.dumps({"type": "session_init_v2"}))
            await hears(client, "ltx2_stream_start")
            if prompt is not None:
                await client.send(json.dumps({"type": "segment_prompt_source", "prompt": prompt}))
                await hears(client, "ltx2_segment_start")
            yield client

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 30)


@contextlib.asynccontextmanager
async def program(*command: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command) if command[0] != "-c" else (sys.executable, *command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        # Each request is logged: a full pipe would hold the server up.
        logged = asyncio.create_task(process.stdout.read())
        yield Program(process, line.decode().split()[-1])
        await logged
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hears(client: Any, kind: str) -> None:
    async with asyncio.timeout(60):
        while True:
            frame = await client.recv()
            if isinstance(frame, str) and json.loads(frame)["type"] == kind:
                return


async def last_words(client: Any) -> tuple[list[str], int | None]:
    """The kinds of all frames up to the close, steps left out, and its code."""
    kinds: list[str] = []
    async with asyncio.timeout(60):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frame = await client.recv()
                message = json.loads(frame) if isinstance(frame, str) else {"type": "media"}
                if message["type"] == "error":
                    assert (message["reason"], message["retryable"]) == ("draining", True)
                if message["type"] != "step_complete":
                    kinds.append(message["type"])
    return kinds, client.close_code


# --- signals


@pytest.mark.parametrize(
    "command",
    [(*MOCK, "--sleep-ms", "700"), (*POOL, "--generator.model_path", "mock:?sleep_ms=700")],
    ids=["mock server", "worker processes"],
)
async def test_sigterm_lets_a_running_segment_end_says_so_and_exits_0(command: tuple[str, ...]) -> None:
    async with program(*command) as running, running.session() as idle, running.session("a red circle") as busy:
        # As from a terminal and from a supervisor, whose signals reach the workers too.
        for process in psutil.Process(running.process.pid).children(recursive=True):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGTERM)
        assert await last_words(idle) == (["error"], 1001)
        kinds, code = await last_words(busy)
        assert code == 1001
        assert [kind for kind in kinds if kind != "media"] == [
            "media_init",
            "media_segment_complete",
            "ltx2_segment_complete",
            "error",
        ]
        assert await running.exit_code() == 0


async def test_a_segment_that_does_not_end_in_time_is_cut_off_and_the_exit_code_is_0() -> None:
    command = (*MOCK, "--sleep-ms", "600000", "--drain-timeout", "0.1")
    async with program(*command) as running, running.session("a red circle") as busy:
        running.process.send_signal(signal.SIGINT)
        assert await last_words(busy) == (["error"], 1001)
        assert await running.exit_code() == 0


async def test_a_second_signal_ends_the_process_at_once_and_its_workers_with_it() -> None:
    command = (*POOL, "--generator.model_path", "mock:?sleep_ms=600000")
    async with program(*command) as running, running.session("a red circle"), running.session() as idle:
        workers = psutil.Process(running.process.pid).children(recursive=True)
        assert len(workers) == 2
        running.process.send_signal(signal.SIGTERM)
        assert await last_words(idle) == (["error"], 1001)
        running.process.send_signal(signal.SIGINT)
        assert await running.exit_code() == -signal.SIGINT
        _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 30)
        assert alive == []


ENDLESS_TEARDOWN = """
import asyncio
from fastvideo.entrypoints.streaming import stream_server
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
stream_server.TEARDOWN_S = 0.1
app = build_mock_app()
app.state.server_state.pool.shutdown = asyncio.Event().wait
stream_server.serve(app, "a server", stream_server.bind("127.0.0.1", 0))
"""


async def test_a_teardown_that_hangs_does_not_keep_the_process() -> None:
    async with program("-c", ENDLESS_TEARDOWN) as running, running.session() as idle:
        running.process.send_signal(signal.SIGTERM)
        assert await last_words(idle) == (["error"], 1001)
        assert await running.exit_code() == 0


def test_the_first_signal_turns_readiness_off_at_once_and_leaves_the_second_to_the_kernel() -> None:
    app = build_mock_app()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        build_server(app, host="127.0.0.1", port=0).handle_exit(signal.SIGTERM, None)
        assert app.state.server_state.draining
        assert {signal.getsignal(each) for each in before} == {signal.SIG_DFL}
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# --- failures to start


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_port_that_is_taken_is_one_line_on_stderr_and_exit_code_3(taken: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *SERVE, "--server.port", str(taken)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, output) == (3, b"")
    sentence = f"another program listens on 127.0.0.1, port {taken}; end it, or choose another port"
    assert errors.decode() == f"fastvideo serve: {sentence}\n"


IN_PROCESS = """
generator: {model_path: "mock:"}
server: {host: 127.0.0.1, port: 0}
streaming: {pool: {backend: in_process}}
"""


def broken(folder: Path) -> str:
    (folder / "broken.safetensors").write_bytes(b"no weights")
    return str(folder / "broken.safetensors")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (lambda folder: ["--generator.model_path", str(folder / "absent.safetensors")], "no model at"),
        (lambda folder: ["--generator.model_path", broken(folder)], "not a readable safetensors file"),
        (lambda folder: ["--generator.model_path", "mock:?speed=9"], "speed"),
        (lambda folder: ["--generator.model_path", "tiny:", "--generator.revision", "main"], "revision: only None"),
        (lambda folder: ["--server.host", "host.invalid"], "cannot listen on host.invalid"),
        (lambda folder: ["--streaming.stores.sessions", "file:/dev/null/x"], "expected a folder at /dev/null/x"),
        (lambda folder: ["--streaming.stores.blobs", "ftp://host/x"], "streaming.stores.blobs: expected memory:"),
    ],
    ids=[
        *("no checkpoint", "broken checkpoint", "bad value", "not offered by the model", "no such host"),
        *("store out of reach", "no such store"),
    ],
)
def test_what_shows_only_at_the_start_is_one_sentence_and_exit_code_3(
    words: Any, said: str, tmp_path: Path, capsys: Any
) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(IN_PROCESS)
    assert main(["serve", "--config", str(config), *words(tmp_path)]) == 3
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("fastvideo serve: ")
    assert said in errors
    assert errors.count("\n") == 1


def test_an_encoder_that_is_missing_is_told_before_a_model_is_loaded(
    monkeypatch: Any, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setattr("fastvideo.entrypoints.streaming.server.choose_encoder", lambda name, **size: "h264_absent")
    config = tmp_path / "serve.yaml"
    config.write_text(IN_PROCESS)
    assert main(["serve", "--config", str(config), "--generator.model_path", "/absent"]) == 3
    assert "streaming.encoder: h264_absent cannot be opened" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be used"),
        ("keys: [{name: ann}]", "keys[0].sha256"),
        ("keys: [{name: ann, sha256: short}]", "keys[0].sha256"),
        ("kys: []", "did you mean 'keys'?"),
        ("keys: [", "cannot be used"),
    ],
    ids=["no file", "no hash", "a short hash", "unknown key", "no YAML"],
)
def test_a_keys_file_that_cannot_be_used_ends_the_start_before_a_model_is_loaded(
    monkeypatch: Any, tmp_path: Path, capsys: Any, text: str | None, said: str
) -> None:
    loaded: list[Any] = []
    monkeypatch.setattr("fastvideo.entrypoints.model_path.build_generator", lambda *args, **more: loaded.append(args))
    keys, config = tmp_path / "keys.yaml", tmp_path / "serve.yaml"
    config.write_text(IN_PROCESS)
    if text is not None:
        keys.write_text(text)
    assert main(["serve", "--config", str(config), "--server.auth.keys_file", str(keys)]) == 3
    output, errors = capsys.readouterr()
    assert (output, loaded) == ("", [])
    assert errors.startswith("fastvideo serve: server.auth.keys_file: ")
    assert said in errors
    assert errors.count("\n") == 1


def test_a_port_that_is_taken_after_it_was_bound_is_told_as_well(taken: int) -> None:
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", first.getsockname()[1]) as second:
        first.listen()
        with pytest.raises(StartFailure, match="another program"):
            serve(build_mock_app(), "a server", second)


def test_a_server_whose_warm_up_fails_does_not_go_on(fakes: Any) -> None:
    generator = fakes.StepGenerator()
    generator.failures["warm up"] = lambda: ZeroDivisionError()
    app = build_app(fakes.config(warmup=WarmupConfig(prompt="warm up")), generator)
    with bind("127.0.0.1", 0) as listener, pytest.raises(StartFailure, match="no worker could start: "):
        serve(app, "a server", listener)


def test_a_server_whose_worker_processes_all_fail_to_boot_does_not_go_on(fakes: Any) -> None:
    def build() -> Any:
        raise CheckpointError("the weights are of another model")

    pool = SubprocessGpuPool(
        GeneratorConfig("mock:"),
        pool_config=GpuPoolConfig(num_workers=2),
        launch=lambda index, devices, workers: fakes.ThreadWorker(build),
    )
    with bind("127.0.0.1", 0) as listener, pytest.raises(StartFailure, match="of another model"):
        serve(build_app(fakes.config(), pool=pool), "a server", listener)


def test_a_pool_that_cannot_be_started_is_a_failure_to_start(fakes: Any, monkeypatch: Any) -> None:
    app = build_mock_app()

    async def start() -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(app.state.server_state.pool, "start", start)
    with bind("127.0.0.1", 0) as listener, pytest.raises(StartFailure, match="OSError"):
        serve(app, "a server", listener)

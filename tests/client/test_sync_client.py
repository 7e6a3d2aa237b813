"""The client for programs without an event loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from fastvideo.client import Client, ServerUnreachable, Stream

pytestmark = pytest.mark.timeout(120)


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastvideo-client")]


@pytest.fixture
def client(served: str) -> Iterator[Client]:
    with Client(served) as client:
        yield client
    assert background_threads() == []


def test_a_stream_is_steered_saved_and_stopped(client: Client, tmp_path: Path) -> None:
    with client.stream("a red ball") as stream:
        assert isinstance(stream, Stream)
        assert (stream.width, stream.height, stream.fps) == (64, 64, 24)
        stream.prompt("a green star", seed=3)
        stream.steer(keep_going=False)
        assert stream.save(tmp_path / "a.mp4", stop=True) == tmp_path / "a.mp4"
        assert (stream.ending, stream.resumed) == ("stop_requested", 0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 48


def test_frames_and_a_file_come_of_one_reading(client: Client, tmp_path: Path) -> None:
    with client.stream("a red ball", keep_going=False) as stream, stream.record(tmp_path / "a.mp4"):
        prompts = {frame.prompt for frame in stream.frames()}
        state = stream.snapshot()
    assert prompts == {"a red ball"}
    assert state.payload["segment_index"] == 0
    assert (tmp_path / "a.mp4").stat().st_size > 1000


def test_two_threads_have_a_stream_each(client: Client) -> None:
    both = threading.Barrier(2, timeout=60)

    def watch(prompt: str) -> list[tuple[int, str]]:
        with client.stream(prompt, keep_going=False) as stream:
            seen = []
            for frame in stream.frames():
                if not seen:
                    both.wait()
                seen.append((frame.index, frame.prompt))
            return seen

    with ThreadPoolExecutor(2) as threads:
        seen = list(threads.map(watch, ["a red ball", "a blue star"]))
    assert seen == [[(index, prompt) for index in range(24)] for prompt in ("a red ball", "a blue star")]


def test_one_thread_steers_what_another_reads(client: Client) -> None:
    with client.stream(keep_going=True) as stream, ThreadPoolExecutor(1) as threads:
        reading = threads.submit(lambda: [frame.prompt for frame in stream.frames(seconds=1)])
        stream.prompt("a red ball")
        assert reading.result(60) == ["a red ball"] * 24


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """As a program on a terminal does: what runs in the background is started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_interrupts")
def test_an_interrupt_stops_the_waiting_and_nothing_else(client: Client) -> None:
    with client.stream() as stream:
        main = threading.main_thread().ident
        assert main is not None
        interrupt = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            # Nothing was asked for, so what comes has an end.
            for event in stream.events():
                if getattr(event, "type", "") == "generation_blocked":
                    interrupt.start()
        interrupt.join()
        stream.prompt("a red ball")
        assert len(list(stream.frames(seconds=1))) == 24


def test_closing_the_client_ends_what_other_threads_wait_for(served: str) -> None:
    client = Client(served)
    waiting = threading.Event()

    def watch() -> None:
        with client.stream() as stream:
            for event in stream.events():
                if getattr(event, "type", "") == "ltx2_stream_start":
                    waiting.set()

    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(watch)
        assert waiting.wait(60)
        client.close()
        assert watching.exception(60) is None
    assert background_threads() == []
    client.close()
    with pytest.raises(RuntimeError, match="expected an open client"), client.stream():
        pass


def test_a_client_that_was_never_used_has_no_thread() -> None:
    with Client("http://127.0.0.1:9"):
        assert background_threads() == []


def test_errors_of_the_background_are_the_callers(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ServerUnreachable, match="Is it running"), client.stream():
            pass
        with pytest.raises(ServerUnreachable, match="Is it running"):
            client.videos.create(prompt="a fox")
        with pytest.raises(FileNotFoundError), client.stream(image=tmp_path / "none.png"):
            pass


def test_what_goes_wrong_in_the_block_is_the_callers_own(client: Client) -> None:
    with pytest.raises(ZeroDivisionError), client.stream():
        1 / 0  # noqa: B018

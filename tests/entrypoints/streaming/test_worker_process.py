import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from fastvideo.api.errors import CheckpointError
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
from fastvideo.entrypoints.streaming.segment_events import SegmentCut, SegmentDone, SegmentFragment, SegmentProgress
from fastvideo.entrypoints.streaming.worker import run_segment, worker_main
from fastvideo.entrypoints.streaming.worker_launch import launch_worker
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Cancel,
    Consumed,
    EncodeAhead,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Ready,
    ResultDone,
    ResultFrames,
    RunRequest,
    RunSegment,
    Unusable,
    WarmedUp,
)
from fastvideo.entrypoints.streaming.worker_wire import MessageReader, encode


class Pool:
    """The other end of a worker's connection."""

    def __init__(self, worker) -> None:
        self.worker = worker
        self._messages = self._read()
        worker.connection.settimeout(20)

    def say(self, message) -> None:
        for buffer in encode(message):
            self.worker.connection.sendall(buffer)

    def boot(self, *, warmup=None, model_path="mock:", heartbeat_s=60.0) -> list:
        self.say(Boot(GeneratorConfig(model_path), GpuPoolConfig(), RequestLimits(), warmup, heartbeat_s))
        return self.hears_until(Ready)

    def hears_until(self, kind, skip=Heartbeat) -> list:
        heard = []
        for message in self._messages:
            if not isinstance(message, skip) or kind is skip:
                heard.append(message)
            if isinstance(message, kind):
                return heard
        raise AssertionError(f"the worker ended after {heard}")

    def events(self, job_id: int) -> tuple[list, JobEnded]:
        *heard, ended = self.hears_until(JobEnded)
        assert {message.job_id for message in [*heard, ended]} == {job_id}
        return [message.event for message in heard if not isinstance(message, JobTaken)], ended

    def _read(self) -> Iterator:
        reader = MessageReader()
        while data := self.worker.connection.recv(1 << 16):
            yield from reader.feed(data)

    def close(self) -> None:
        self.worker.connection.close()
        assert self.worker.wait(20)


@pytest.fixture
def worker_of(fakes):
    pools = []

    def make(generator, **settings) -> Pool:
        build = generator if callable(generator) else lambda: generator
        pools.append(Pool(fakes.ThreadWorker(build, **settings)))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def test_a_worker_warms_up_with_two_segments_and_is_then_ready(worker_of, fakes) -> None:
    generator = fakes.StepGenerator()
    heard = worker_of(generator).boot(warmup=fakes.job("warm up"))
    assert [type(message) for message in heard] == [WarmedUp, WarmedUp, Ready]
    assert heard[-1] == Ready("steps")
    fresh, continued = generator.requests
    assert (fresh.state, continued.state.payload["segment_index"]) == (None, 0)


def test_segments_cross_byte_for_byte(worker_of, fakes) -> None:
    pool = worker_of(fakes.StepGenerator())
    pool.boot()
    cursor = fakes.job().cursor
    for index in range(2):
        job = fakes.job(index=index, cursor=cursor)
        pool.say(RunSegment(index, job))
        events, ended = pool.events(index)
        assert ended.fault is None
        assert ended.busy_s > 0
        local = list(run_segment(fakes.StepGenerator(), fakes.job(index=index, cursor=cursor), fakes.token()))
        timed = ("queue_ms", "generation_ms", "timings_ms")
        for crossed, here in zip(events, local, strict=True):
            names = [f.name for f in dataclasses.fields(here) if f.name not in timed]
            assert type(crossed) is type(here)
            assert [getattr(crossed, name) for name in names] == [getattr(here, name) for name in names]
        cursor = events[-1].cursor


def test_a_cancelled_job_ends_within_a_step_and_its_media_with_a_cut(worker_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    pool = worker_of(generator)
    pool.boot()
    pool.say(RunSegment(1, fakes.job(num_inference_steps=50)))
    generator.allow(1)
    for _ in range(2):
        assert generator.reached.acquire(timeout=10)
    pool.say(Cancel(1))
    pool.say(RunSegment(2, fakes.job("next", num_inference_steps=1)))
    # Messages are obeyed in order, so a job that waits tells that the cancellation has arrived.
    assert fakes.wait_for(lambda: pool.worker.loop.jobs_waiting == 1)
    generator.free()
    events, ended = pool.events(1)
    assert ended.fault.kind == "GenerationCancelled"
    assert [event.step for event in events if isinstance(event, SegmentProgress)] == [1]
    events, ended = pool.events(2)
    assert isinstance(events[-1], SegmentDone)

    generator.failures["bad"] = lambda: ZeroDivisionError("secret")
    generator.fail_after_frames = 4
    pool.say(RunSegment(3, fakes.job("bad")))
    events, ended = pool.events(3)
    assert isinstance(events[-1], SegmentCut)
    assert (ended.fault.kind, ended.fault.retryable) == ("GenerationFailed", True)
    assert "secret" not in ended.fault.message


def test_the_newest_word_on_what_comes_next_reaches_the_job_that_runs_and_no_other(worker_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    pool = worker_of(generator)
    pool.boot()
    for told in (1, 7):
        # Of a job that has not come, or is over, or was never there.
        pool.say(EncodeAhead(told, fakes.request("lost")))
    pool.say(RunSegment(1, fakes.job("now")))
    for text in ("old", "new"):
        pool.say(EncodeAhead(1, fakes.request(text)))
    pool.say(RunSegment(2, fakes.job("next")))
    assert fakes.wait_for(lambda: pool.worker.loop.jobs_waiting == 1)
    generator.free()
    pool.events(1)
    pool.events(2)
    pool.say(EncodeAhead(2, fakes.request("late")))
    pool.say(RunSegment(3, fakes.job("last")))
    pool.events(3)
    # It may have been taken before the newer one came.
    assert [(running, request.prompt) for running, request in generator.ahead][-1] == ("now", "new")
    assert {request.prompt for _, request in generator.ahead} <= {"old", "new"}


def test_a_generator_that_cannot_look_ahead_is_not_bothered(worker_of, fakes) -> None:
    generator = fakes.WholeGenerator()
    pool = worker_of(generator)
    pool.boot()
    pool.say(RunSegment(1, fakes.job("now")))
    pool.say(EncodeAhead(1, fakes.request("next")))
    events, ended = pool.events(1)
    assert (type(events[-1]), ended.fault) == (SegmentDone, None)


def test_a_job_that_is_cancelled_before_its_turn_never_begins(worker_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    pool = worker_of(generator)
    pool.boot()
    pool.say(RunSegment(1, fakes.job("first")))
    pool.say(RunSegment(2, fakes.job("second")))
    pool.say(Cancel(2))
    pool.say(Cancel(99))
    pool.say(RunSegment(3, fakes.job("third")))
    assert fakes.wait_for(lambda: pool.worker.loop.jobs_waiting == 2)
    generator.free()
    assert pool.events(1)[1].fault is None
    assert pool.events(2)[1].fault.kind == "GenerationCancelled"
    assert pool.events(3)[1].fault is None
    assert {request.prompt for request in generator.requests} == {"first", "third"}


@pytest.mark.parametrize("raised", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_a_worker_outlives_whatever_a_generator_raises(worker_of, fakes, raised) -> None:
    generator = fakes.StepGenerator()
    generator.failures["bad"] = lambda: raised
    pool = worker_of(generator)
    pool.boot()
    pool.say(RunSegment(1, fakes.job("bad")))
    assert pool.events(1)[1].fault.kind == "GenerationFailed"
    pool.say(RunSegment(2, fakes.job("good")))
    assert pool.events(2)[1].fault is None


@pytest.mark.parametrize("after_frames", [None, 4])
def test_a_worker_that_lost_its_accelerator_says_so_and_ends_and_what_it_sent_may_go_on(
    worker_of, fakes, after_frames
) -> None:
    generator = fakes.StepGenerator()
    generator.failures["bad"], generator.fail_after_frames = fakes.accelerator_error, after_frames
    pool = worker_of(generator)
    pool.boot()
    pool.say(RunSegment(1, fakes.job("bad")))
    # It may have ended by now, with nobody left to hear this.
    with contextlib.suppress(BrokenPipeError):
        pool.say(RunSegment(2, fakes.job("next")))
    *heard, unusable = pool.hears_until(Unusable)
    assert unusable == Unusable("its accelerator fails")
    # No end of a segment, no fragment that only an end has: another worker makes it again, byte for byte.
    events = [message.event for message in heard if isinstance(message, JobEvent)]
    whole = list(run_segment(fakes.StepGenerator(), fakes.job("bad"), fakes.token()))
    assert [type(event) for event in events] == [type(event) for event in whole[: len(events)]]
    fragments = [[e.data for e in found if isinstance(e, SegmentFragment)] for found in (events, whole)]
    assert fragments[0] == fragments[1][: len(fragments[0])]
    assert bool(fragments[0]) == (after_frames is not None)
    pool.worker.thread.join(10)
    assert not pool.worker.thread.is_alive()
    assert len(generator.requests) == 1


def test_a_result_comes_back_with_its_frames_in_pieces(worker_of, fakes) -> None:
    pool = worker_of(fakes.WholeGenerator())
    pool.boot()
    pool.say(RunRequest(5, fakes.request()))
    taken, *parts, done, ended = pool.hears_until(JobEnded)
    assert taken == JobTaken(5)
    assert all(isinstance(part, ResultFrames) for part in parts)
    frames = np.concatenate([part.frames for part in parts])
    assert frames.shape == (8, 64, 64, 3)
    assert frames[3, 0, 0, 0] == 90
    assert isinstance(done, ResultDone)
    assert done.result.state.kind == "ltx2.v1"
    assert ended.busy_s > 0


def test_a_whole_result_is_given_up_where_its_generator_takes_a_token(worker_of, fakes) -> None:
    told = []

    class Whole:
        def generate(self, request, *, cancel):
            told.append(cancel)
            assert fakes.wait_for(lambda: cancel.cancelled)
            cancel.raise_if_cancelled()

    pool = worker_of(Whole())
    pool.boot()
    pool.say(RunRequest(5, fakes.request()))
    assert fakes.wait_for(lambda: told)
    pool.say(Cancel(5))
    _, ended = pool.hears_until(JobEnded)
    assert ended.fault.kind == "GenerationCancelled"


def test_media_that_nobody_reads_is_not_sent_beyond_the_window(worker_of, fakes) -> None:
    pool = worker_of(fakes.StepGenerator(noise=True), window_bytes=20_000, stall_s=0.2)
    pool.boot()
    pool.say(RunSegment(1, fakes.job()))
    events, ended = pool.events(1)
    assert ended.fault.kind == "ReaderTooSlow"
    assert sum(len(event.data) for event in events if isinstance(event, SegmentFragment)) <= 20_000
    # A reader that keeps up gets all of it.
    pool.say(RunSegment(2, fakes.job()))
    received = 0
    pool.hears_until(JobTaken)
    while not isinstance(message := pool.hears_until((JobEvent, JobEnded))[-1], JobEnded):
        if isinstance(message.event, SegmentFragment):
            received += len(message.event.data)
        if hasattr(message.event, "data"):
            pool.say(Consumed(2, len(message.event.data)))
    assert message.fault is None
    assert received > 20_000


def test_a_worker_says_that_it_lives_while_it_generates(worker_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    pool = worker_of(generator)
    pool.boot(heartbeat_s=0.01)
    pool.say(RunSegment(1, fakes.job()))
    assert generator.reached.acquire(timeout=10)
    for _ in range(3):
        pool.hears_until(Heartbeat)
    generator.free()
    assert pool.hears_until(JobEnded)[-1].fault is None


@pytest.mark.parametrize("error", [CheckpointError("no weights there"), ZeroDivisionError("secret"), SystemExit(1)])
def test_a_worker_that_cannot_start_says_why_and_ends(worker_of, error) -> None:
    def build():
        raise error

    pool = worker_of(build)
    pool.say(Boot(GeneratorConfig("mock:"), GpuPoolConfig(), RequestLimits()))
    fault = pool.hears_until(BootFailed)[-1].fault
    assert fault.kind == ("CheckpointError" if isinstance(error, CheckpointError) else "GenerationFailed")
    assert "secret" not in fault.message
    pool.worker.thread.join(10)
    assert not pool.worker.thread.is_alive()


def test_a_worker_whose_pool_is_gone_stops_in_the_middle_of_a_segment(worker_of, fakes) -> None:
    generator = fakes.StepGenerator()
    generator.hold()
    pool = worker_of(generator)
    pool.boot()
    pool.say(RunSegment(1, fakes.job(num_inference_steps=50)))
    assert generator.reached.acquire(timeout=10)
    pool.worker.connection.shutdown(socket.SHUT_RDWR)
    assert fakes.wait_for(lambda: pool.worker.loop.ending)
    generator.free()
    assert pool.worker.wait(10)
    assert ("cancelled", "a prompt") in generator.trace


def test_a_process_of_its_own_serves_and_ends_with_its_connection(fakes) -> None:
    pool = Pool(launch_worker(0, (), 1))
    with contextlib.closing(pool), pool.worker.output:
        assert pool.boot(warmup=fakes.job("warm up"))[-1] == Ready("mock")
        pool.say(RunSegment(1, fakes.job("a red circle")))
        events, ended = pool.events(1)
        assert ended.fault is None
        local = run_segment(MockGenerator(), fakes.job("a red circle"), fakes.token())
        theirs, ours = ([e.data for e in found if isinstance(e, SegmentFragment)] for found in (events, local))
        assert theirs == ours


def test_worker_main_serves_a_connection() -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=worker_main, args=(theirs,))
    thread.start()
    with ours, theirs:
        for buffer in encode(Boot(GeneratorConfig("mock:"), GpuPoolConfig(), RequestLimits(), None, 60.0)):
            ours.sendall(buffer)
        assert list(MessageReader().feed(ours.recv(1000))) == [Ready("mock")]
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()

"""An actor as a plain object: what Ray would call is called here."""

import subprocess
import sys
import threading

import pytest

from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.entrypoints.streaming.ray_worker import RayWorker
from fastvideo.entrypoints.streaming.segment_events import SegmentDone
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Message,
    Ready,
    RunSegment,
)
from fastvideo.entrypoints.streaming.worker_wire import MessageReader, encode

BOOT = Boot(GeneratorConfig("mock:?sleep_ms=1"), GpuPoolConfig(), RequestLimits(), heartbeat_s=60.0)


def say(worker: RayWorker, message: Message) -> None:
    worker.take(b"".join(encode(message)))


def read(whole: bytes) -> Message:
    (message,) = MessageReader().feed(whole)
    return message


def test_what_it_takes_and_tells_are_whole_messages_of_the_protocol(fakes) -> None:
    worker = RayWorker()
    said = worker.listen()
    say(worker, BOOT)
    assert read(next(said)) == Ready("mock")
    say(worker, RunSegment(7, fakes.job()))
    assert read(next(said)) == JobTaken(7)
    messages = [read(next(said))]
    while not isinstance(messages[-1], JobEnded):
        messages.append(read(next(said)))
    assert all(isinstance(message, JobEvent) for message in messages[:-1])
    assert isinstance(messages[-2].event, SegmentDone)
    worker.end()
    assert [read(whole) for whole in said if not isinstance(read(whole), Heartbeat)] == []
    assert fakes.wait_for(lambda: "worker" not in [thread.name for thread in threading.enumerate()])


def test_a_worker_that_cannot_start_says_why_and_ends() -> None:
    worker = RayWorker()
    say(worker, Boot(GeneratorConfig("mock:?speed=3"), GpuPoolConfig(), RequestLimits()))
    (failed,) = [read(whole) for whole in worker.listen()]
    assert isinstance(failed, BootFailed)
    # Nobody is there any more, and nobody minds.
    say(worker, BOOT)


@pytest.mark.parametrize(("limit_bytes", "ends"), [(1 << 20, True), (1 << 40, False)])
def test_a_process_that_holds_more_memory_than_it_may_ends(limit_bytes, ends) -> None:
    code = (
        "import threading; from fastvideo.entrypoints.streaming import ray_worker; ray_worker._MEMORY_POLL_S = 0.001\n"
        f"watch = threading.Thread(target=ray_worker._end_above, args=({limit_bytes},), daemon=True); watch.start()\n"
        "watch.join(0.5)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (1 if ends else 0)
    assert ("1 are allowed" in done.stderr) is ends

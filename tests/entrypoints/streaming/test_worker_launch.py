import contextlib
import logging
import os
import sys

import psutil

from fastvideo.entrypoints.streaming.process_memory import resident_bytes
from fastvideo.entrypoints.streaming.worker_launch import WorkerSubprocess, worker_environment
from fastvideo.entrypoints.streaming.worker_output import MAX_LINE_BYTES, MAX_LINES_PER_SECOND, WorkerOutput


def test_a_worker_sees_its_own_devices_and_takes_its_share_of_the_cores() -> None:
    parent = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert worker_environment(parent, ("GPU-12", "3"), 2) == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "GPU-12,3"}
    assert worker_environment({"OMP_NUM_THREADS": "7"}, (), 2)["OMP_NUM_THREADS"] == "7"
    share = int(worker_environment({}, (), 2)["OMP_NUM_THREADS"])
    assert share == max(1, (os.cpu_count() or 1) // 2)


def test_a_process_is_ended_with_its_children() -> None:
    code = (
        "import socket, subprocess, sys\n"
        "connection = socket.socket(fileno=int(sys.argv[-1]))\n"
        "connection.set_inheritable(False)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "connection.sendall(str(child.pid).encode())\n"
        "connection.recv(1)\n"
    )
    worker = WorkerSubprocess((sys.executable, "-c", code), dict(os.environ))
    with worker.connection, contextlib.closing(worker.output):
        worker.connection.settimeout(20)
        child = psutil.Process(int(worker.connection.recv(20)))
        assert os.getsid(worker.pid) != os.getsid(0)
        assert not worker.wait(0.01)
        worker.kill()
        assert worker.wait(10)
        psutil.wait_procs([child], 10)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        # Again is as good as once.
        worker.kill()
        assert worker.wait(10)


def test_memory_is_read_from_the_system(tmp_path) -> None:
    held_bytes = resident_bytes(os.getpid())
    assert held_bytes is not None
    assert abs(held_bytes - psutil.Process().memory_info().rss) < 64 << 20
    assert resident_bytes(2**22 + 1) is None
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "statm").write_text("nonsense")
    assert resident_bytes(5, tmp_path) is None


def test_lines_are_logged_whole_however_they_arrive(caplog) -> None:
    caplog.set_level(logging.INFO)
    output = WorkerOutput("worker-3")
    for piece in (b"one\ntw", b"o\n\nthr", b"ee", b"\nfour \xff"):
        output.data_received(piece)
    output.connection_lost(None)
    assert [record.getMessage() for record in caplog.records] == [
        "worker-3: one",
        "worker-3: two",
        "worker-3: three",
        "worker-3: four \\xff",
    ]


def test_a_flood_is_counted_and_a_line_has_an_end(caplog) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    output = WorkerOutput("worker-0", clock=lambda: now[0])
    output.data_received(b"x" * 1_000_000)
    output.data_received(b"\n" + b"line\n" * 999)
    assert len(caplog.records) == MAX_LINES_PER_SECOND
    assert len(caplog.records[0].getMessage()) == MAX_LINE_BYTES + len("worker-0: ")
    now[0] = 1.0
    output.data_received(b"later\n")
    assert [record.getMessage() for record in caplog.records[-2:]] == [
        "worker-0: 950 more lines were printed and left out",
        "worker-0: later",
    ]

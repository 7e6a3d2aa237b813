"""Memory in use is counted to the byte: a leak shows however the process grows, and freed memory does not."""

import os
import subprocess
import sys

import pytest

from benchmarks.allocated import ENVIRONMENT, allocated_bytes
from benchmarks.server_process import ROOT

LEAKS = """
from benchmarks.allocated import allocated_bytes
from threading import Thread
kept = []
def sessions(leak):
    freed = [[bytearray(5_000) for _ in range(20)] + [{"a": (n, str(n))} for n in range(100)] for _ in range(50)]
    if leak:
        # Between what is freed, so that none of the pages can be given back.
        kept.extend((b"x" * 20_480, parts.pop(0)) for parts in freed)
def grown(leak):
    before = allocated_bytes()
    thread = Thread(target=sessions, args=(leak,))
    thread.start()
    thread.join()
    return allocated_bytes() - before
grown(False)
print(grown(False), grown(True), grown(False))
"""


def test_what_is_kept_of_each_session_is_counted_and_what_is_freed_between_is_not() -> None:
    if allocated_bytes() is None:
        pytest.skip("only the GNU C library counts what it has handed out")
    result = subprocess.run(
        [sys.executable, "-c", LEAKS],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    without, leaked, again = map(int, result.stdout.split())
    assert abs(without) < 20_000
    assert leaked == pytest.approx(50 * 25_480, abs=60_000)
    assert abs(again) < 20_000

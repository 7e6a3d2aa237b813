import mmap
import os
import socket
import subprocess
import sys

from benchmarks.holdings import Holdings


def test_a_process_that_was_not_waited_for_is_seen() -> None:
    before = Holdings.now().processes
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert Holdings.now().processes - before == {child.pid}
    finally:
        child.communicate()
    assert Holdings.now().processes == before


def test_a_descriptor_that_stays_open_is_seen() -> None:
    before = Holdings.now().descriptors
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert Holdings.now().descriptors == before + 2
    assert Holdings.now().descriptors == before


def test_shared_memory_without_a_name_is_seen_once_while_it_is_open_or_mapped() -> None:
    def pieces() -> set[str]:
        return {piece for piece in Holdings.now().shared if piece.startswith("memfd")}

    before, descriptors = pieces(), Holdings.now().descriptors
    descriptor = os.memfd_create("fastvideo-test")
    os.ftruncate(descriptor, mmap.PAGESIZE)
    (piece,) = pieces() - before
    with mmap.mmap(descriptor, mmap.PAGESIZE):
        os.close(descriptor)
        assert pieces() - before == {piece}
        assert Holdings.now().descriptors == descriptors
    assert pieces() == before


def test_only_what_there_is_more_of_than_before_is_told() -> None:
    before = Holdings(frozenset({1, 2}), 10, frozenset({"memfd 1"}))
    after = Holdings(frozenset({3}), 12, frozenset({"memfd 2", "sem.left"}))
    assert after.more_than(before) == {"processes": 0, "descriptors": 2, "pieces of shared memory": 1}
    assert before.more_than(before) == {"processes": 0, "descriptors": 0, "pieces of shared memory": 0}

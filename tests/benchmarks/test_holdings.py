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

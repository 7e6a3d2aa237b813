import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastvideo.entrypoints.streaming.ring_memory import RingMemory, receive_first

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
SIZE_BYTES = 1 << 20


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def mapped() -> bool:
    return "fastvideo-ring" in Path("/proc/self/maps").read_text()


def resident_bytes(memory: RingMemory) -> int:
    assert memory._descriptor is not None
    return os.fstat(memory._descriptor).st_blocks * 512


def test_what_one_end_writes_the_other_reads_and_nothing_is_left() -> None:
    before = descriptors()
    ours, theirs = socket.socketpair()
    memory = RingMemory.create(SIZE_BYTES)
    assert memory is not None
    with ours, theirs:
        assert memory.send(ours, b"the first message") == 17
        data, received = receive_first(theirs, 100)
    assert data == b"the first message"
    assert received is not None
    assert received.size_bytes == SIZE_BYTES
    written, read = received.writable(), memory.readable()
    written[:] = 7
    written[-1] = 9
    assert (read[0], read[-2], read[-1]) == (7, 7, 9)
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1
    memory.close()
    received.close()
    # Who still holds the memory may go on reading.
    assert read[-1] == 9
    assert mapped()
    assert not [name for name in os.listdir("/dev/shm") if "ring" in name]
    del written, read
    assert not mapped()
    assert descriptors() == before


def test_memory_is_taken_when_somebody_will_write_and_not_before() -> None:
    memory = RingMemory.create(SIZE_BYTES)
    assert memory is not None
    assert resident_bytes(memory) == 0
    memory.writable()
    assert resident_bytes(memory) == SIZE_BYTES
    memory.close()


def test_the_other_process_cannot_take_the_memory_away() -> None:
    memory = RingMemory.create(SIZE_BYTES)
    assert memory is not None
    code = (
        "import os, sys\n"
        "for size in (0, 1 << 30):\n"
        "    try:\n"
        "        os.ftruncate(int(sys.argv[1]), size)\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    sys.exit(1)\n"
    )
    descriptor = memory._descriptor
    assert descriptor is not None
    done = subprocess.run([sys.executable, "-c", code, str(descriptor)], pass_fds=(descriptor,), check=False)
    assert done.returncode == 0
    assert memory.readable()[-1] == 0
    memory.close()


def test_a_descriptor_that_came_is_not_inherited_and_none_may_come() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"no ring")
        assert receive_first(theirs, 100) == (b"no ring", None)
        memory = RingMemory.create(SIZE_BYTES)
        assert memory is not None
        memory.send(ours, b"x")
        _, received = receive_first(theirs, 100)
        assert received is not None
        assert received._descriptor is not None
        assert not os.get_inheritable(received._descriptor)
        received.close()
        memory.close()


def test_memory_that_is_closed_cannot_be_used() -> None:
    memory = RingMemory.create(SIZE_BYTES)
    assert memory is not None
    array = memory.writable()
    memory.close()
    memory.close()
    for use in (memory.readable, memory.writable):
        with pytest.raises(OSError, match="closed"):
            use()
    np.testing.assert_array_equal(array, 0)

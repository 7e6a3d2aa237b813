"""The memory that a pool and one of its worker processes share: a file without a name, whose descriptor is handed over.

Nothing of it can be left behind: it is gone with the last process that has it open or mapped.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import sys

import numpy as np
from numpy.typing import NDArray

# A frame of 3840x2160, and little enough to stay near the processor: the same memory is written again and again.
RING_BYTES = 32 << 20


class RingMemory:
    """Shared memory of a fixed size. ``descriptor`` is the object's own; memory is used once it is mapped."""

    def __init__(self, descriptor: int) -> None:
        self.size_bytes = os.fstat(descriptor).st_size
        self._descriptor: int | None = descriptor

    @classmethod
    def create(cls, size_bytes: int = RING_BYTES) -> RingMemory | None:
        """New memory, which takes none until somebody writes; None on a system that has no files without a name.

        Raises OSError.
        """
        if sys.platform != "linux":
            return None
        descriptor = os.memfd_create("fastvideo-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size_bytes)
            # Reading beyond the end of a file that the other process made shorter would end this one.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def writable(self) -> NDArray[np.uint8]:
        """The memory as uint8 [size_bytes], all of it there before the first write. Raises OSError."""
        descriptor = self._open()
        os.posix_fallocate(descriptor, 0, self.size_bytes)
        return _mapped(descriptor, self.size_bytes, mmap.PROT_READ | mmap.PROT_WRITE, getattr(mmap, "MAP_POPULATE", 0))

    def readable(self) -> NDArray[np.uint8]:
        """The same, read only, for the end that never writes. Raises OSError."""
        # The writer has put all pages there. Mapping them now would hold up everything else for milliseconds.
        return _mapped(self._open(), self.size_bytes, mmap.PROT_READ, 0)

    def send(self, connection: socket.socket, data: bytes | bytearray | memoryview) -> int:
        """Send bytes and with the first of them the descriptor; tells how many were sent. Raises OSError."""
        return socket.send_fds(connection, [data], [self._open()])

    def close(self) -> None:
        """Close the descriptor; what is mapped stays as long as somebody holds it."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor is None:
            raise OSError("the ring's memory is closed")
        return self._descriptor


def receive_first(connection: socket.socket, most_bytes: int) -> tuple[bytes, RingMemory | None]:
    """The first bytes of a connection, and the memory whose descriptor came with them. Raises OSError."""
    data, descriptors, _, _ = socket.recv_fds(connection, most_bytes, 1)
    if not descriptors:
        return data, None
    os.set_inheritable(descriptors[0], False)
    return data, RingMemory(descriptors[0])


def _mapped(descriptor: int, size_bytes: int, protection: int, flags: int) -> NDArray[np.uint8]:
    return np.frombuffer(mmap.mmap(descriptor, size_bytes, flags=mmap.MAP_SHARED | flags, prot=protection), np.uint8)

"""A file that is being read, perhaps while it grows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol


class ReadableFile(Protocol):
    """Something to read ``size`` bytes of, by one thread at a time. Close it once."""

    @property
    def size(self) -> int: ...

    def read(self, at: int, count: int) -> bytes:
        """At most so many bytes from there on; blocking."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True)
class OpenFile:
    """A file to read ``size`` bytes of; ``head`` is what stands in the place of its first bytes. Close it once."""

    fd: int
    size: int
    head: bytes = b""

    def read(self, at: int, count: int) -> bytes:
        """At most so many bytes from there on; blocking."""
        count = min(count, self.size - at)
        if at < len(self.head):
            return self.head[at : at + count]
        return os.pread(self.fd, count, at)

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self.fd)

"""How much memory is in use, to the byte, whatever the C library and Python keep free between what is.

A process's size tells when it leaks only after long: freed memory stays with it where something that lives on lies
beside it. What is handed out and not given back is counted by the GNU C library; :data:`ENVIRONMENT` has a process take
all its memory there.
"""

from __future__ import annotations

import ctypes
from types import MappingProxyType

# Python's small objects too, and nothing set aside for each thread, which would count as in use. The sizes from which
# the library gives memory back stay what they are at first: if they rise to the largest block that was ever freed, as
# they do otherwise, the heaps of threads keep some 100 MiB that are free, now more, now less.
_TUNABLES = {"tcache_count": 0, "trim_threshold": 128 << 10, "mmap_threshold": 128 << 10}
ENVIRONMENT = MappingProxyType(
    {
        "PYTHONMALLOC": "malloc",
        "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in _TUNABLES.items()),
    }
)


class _Mallinfo2(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def allocated_bytes() -> int | None:
    """Bytes that this process has taken from the C library and not given back; None where that is not counted."""
    try:
        mallinfo2 = ctypes.CDLL("libc.so.6").mallinfo2
    except (OSError, AttributeError):
        return None
    mallinfo2.restype = _Mallinfo2
    info = mallinfo2()
    # In heaps, and in mappings of their own.
    return int(info.uordblks) + int(info.hblkhd)


def give_back_free_memory() -> None:
    """Have the C library let go of whole pages that are free; elsewhere nothing happens."""
    try:
        trim = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)

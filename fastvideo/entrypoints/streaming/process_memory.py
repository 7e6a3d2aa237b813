"""How much memory a process holds, as Linux tells it."""

from __future__ import annotations

import os
from pathlib import Path

_RESIDENT_FIELD = 1


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """The resident memory of a process; None when it is gone, or where the system does not tell."""
    try:
        pages = int((proc / str(pid) / "statm").read_text().split()[_RESIDENT_FIELD])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")

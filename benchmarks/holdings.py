"""What this process holds that could be left behind: processes, descriptors, shared memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

_SHARED_FOLDER = Path("/dev/shm")
_NAMELESS = "/memfd:"


@dataclass(frozen=True)
class Holdings:
    """``processes``: ids of our children and theirs; ``descriptors``: how many, other than of shared memory;
    ``shared``: pieces of shared memory."""

    processes: frozenset[int]
    descriptors: int
    shared: frozenset[str]

    @classmethod
    def now(cls) -> Holdings:
        """Count. Shared memory without a name is ours if we have it open or mapped; with a name, it is everybody's."""
        opened = [_nameless(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        pieces = {piece for piece in opened if piece is not None}
        return cls(
            processes=frozenset(child.pid for child in psutil.Process().children(recursive=True)),
            descriptors=opened.count(None),
            shared=frozenset((*pieces, *_mapped(), *(entry.name for entry in _SHARED_FOLDER.iterdir()))),
        )

    def more_than(self, before: Holdings) -> dict[str, int]:
        """By kind, how many more there are than before. Others may have taken their place: only numbers count."""
        return {
            "processes": max(0, len(self.processes) - len(before.processes)),
            "descriptors": max(0, self.descriptors - before.descriptors),
            "pieces of shared memory": max(0, len(self.shared) - len(before.shared)),
        }


def _nameless(descriptor: Path) -> str | None:
    """Which memory without a name a descriptor is of; each mapping has one more of its own."""
    return f"memfd {descriptor.stat().st_ino}" if os.readlink(descriptor).startswith(_NAMELESS) else None


def _mapped() -> list[str]:
    lines = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    return [f"memfd {line[4]}" for line in lines if len(line) > 5 and line[5].startswith(_NAMELESS)]

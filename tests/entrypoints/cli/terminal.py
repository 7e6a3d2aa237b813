"""A terminal that remembers what was written to it."""

from __future__ import annotations

import io
from collections.abc import Callable


class Terminal(io.StringIO):
    """``heard`` is called with everything that was written so far, after each writing."""

    encoding = "utf-8"

    def __init__(self, heard: Callable[[str], None] = lambda text: None) -> None:
        super().__init__()
        self._heard = heard

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        count = super().write(text)
        self._heard(self.getvalue())
        return count

    @property
    def screen(self) -> list[str]:
        """What a person sees: each line after its last erasure."""
        return [line.rpartition("\x1b[K")[2] for line in self.getvalue().split("\n")]

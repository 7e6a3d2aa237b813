"""How far long work is: one line that is drawn over on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

_BAR_CELLS = 24
# Elsewhere than on a terminal, long work is told of in so many lines.
_PLAIN_LINES = 4


class ProgressLine:
    """Writes to ``stream``, standard error where none is given. ``quiet``: writes nothing, for those who print JSON.

    :meth:`show` is for what changes, and :meth:`say` for what stays. ``clock`` gives seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._clock = clock
        self.on_terminal = self._stream.isatty() and not quiet
        self._shown = ""
        self._work: tuple[str, float, int] | None = None

    def update(self, label: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of the work that ``label`` names; a new label is new work."""
        if self._work is None or self._work[0] != label:
            self._work = (label, self._clock(), -1)
        name, began_s, told = self._work
        if self.on_terminal:
            self.show(f"{name} {_bar(done, total, self._stream)} {done}/{total}{self._left(began_s, done, total)}")
            return
        quarter = _PLAIN_LINES * done // max(1, total)
        if quarter > told and done > 0:
            self.say(f"{name} {done}/{total}")
        self._work = (name, began_s, max(told, quarter))

    def show(self, text: str) -> None:
        """Draw ``text`` over what was shown before; on a terminal alone."""
        if self.on_terminal and text != self._shown:
            columns = shutil.get_terminal_size().columns
            self._stream.write(f"\r\x1b[K{_cut(text, columns - 1)}")
            self._stream.flush()
            self._shown = text

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._quiet:
            return
        shown, self._shown = self._shown, ""
        self._stream.write(("\r\x1b[K" if shown else "") + text + "\n")
        self._stream.flush()
        if shown:
            self.show(shown)

    def close(self) -> None:
        """Take away what is drawn over; lines that stay, stay."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._shown, self._work = "", None

    def _left(self, began_s: float, done: int, total: int) -> str:
        if not 0 < done < total:
            return ""
        left_s = round((self._clock() - began_s) * (total - done) / done)
        return f" {left_s // 60}:{left_s % 60:02} left"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bar(done: int, total: int, stream: TextIO) -> str:
    filled = _BAR_CELLS * min(done, total) // max(1, total)
    full, empty = ("█", "░") if (stream.encoding or "").lower().replace("-", "") == "utf8" else ("#", ".")
    return full * filled + empty * (_BAR_CELLS - filled)


def _cut(text: str, columns: int) -> str:
    """As much of ``text`` as is at most so many columns wide; a line that wraps could not be drawn over."""
    width = 0
    for index, character in enumerate(text):
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width > columns:
            return text[:index]
    return text

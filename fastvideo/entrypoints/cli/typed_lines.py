"""Standard input while a stream plays: a terminal, a pipe, or a file."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from fastvideo.entrypoints.cli.steering import InputLine

try:
    import termios
    import tty
except ImportError:  # pragma: no cover  # not a Unix
    termios = None  # type: ignore[assignment]

_READ_BYTES = 65_536


class TypedLines:
    """Gives ``on_line`` every line that comes, and calls ``on_end`` at the end of the input.

    A terminal is asked not to show what is typed: ``typed`` has it, and ``on_change`` is called when it changes, so
    that whoever draws on the terminal draws it too. ``fd`` None is an input that is over.
    """

    def __init__(
        self, fd: int | None, on_line: Callable[[str], None], on_end: Callable[[], None], on_change: Callable[[], None]
    ) -> None:
        self._fd = fd
        self._on_line = on_line
        self._on_end = on_end
        self._on_change = on_change
        self._line = InputLine()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ended = False

    @property
    def typed(self) -> str:
        """The line that is not ended yet."""
        return self._line.text

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Read while this is entered; a terminal is as before afterwards."""
        if self._fd is None:
            self._end()
            yield
            return
        loop = asyncio.get_running_loop()
        with _without_echo(self._fd):
            try:
                loop.add_reader(self._fd, self._read)
            except PermissionError:
                # A file: it is all there.
                while not self._ended:
                    self._read()
                yield
                return
            try:
                yield
            finally:
                loop.remove_reader(self._fd)

    def _read(self) -> None:
        assert self._fd is not None
        try:
            data = os.read(self._fd, _READ_BYTES)
        except OSError:
            # The terminal is gone.
            data = b""
        for line in self._line.feed(self._decoder.decode(data)):
            self._on_line(line)
        if not data and self._line.text:
            self._on_line(self._line.text)
        if not data or self._line.ended:
            self._end()
        else:
            self._on_change()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            if self._fd is not None:
                asyncio.get_running_loop().remove_reader(self._fd)
            self._on_end()


def standard_input() -> int | None:
    """Its descriptor; None where there is none."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None


@contextlib.contextmanager
def _without_echo(fd: int) -> Iterator[None]:
    """Characters as they are typed, not shown; Ctrl-C works as ever."""
    if termios is None or not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

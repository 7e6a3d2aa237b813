"""What somebody types while a stream plays: prompts, and a few commands that begin with a slash."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True)
class Say:
    """A prompt."""

    prompt: str


class Steer(Enum):
    """A command; its value is what is typed."""

    CANCEL = "/cancel"
    PAUSE = "/pause"
    GO_ON = "/go"
    STOP = "/stop"


@dataclass(frozen=True)
class NoSuchCommand:
    """A word with a slash that means nothing."""

    word: str


Typed: TypeAlias = Say | Steer | NoSuchCommand

HELP = "type a prompt and Enter; /cancel drops the segment, /pause, /go, /stop ends"


def read_line(line: str) -> Typed | None:
    """What a line means; None for a blank one."""
    text = line.strip()
    if not text.startswith("/"):
        return Say(text) if text else None
    try:
        return Steer(text.lower())
    except ValueError:
        return NoSuchCommand(text)


class InputLine:
    """The line that is being typed: characters of a terminal without echo go in, whole lines come out.

    ``text`` is what stands there, ``ended`` whether Ctrl-D was typed on an empty line.
    """

    # Arrow keys and the like, also their beginnings.
    _ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])")
    _ESCAPE_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")

    def __init__(self) -> None:
        self.text = ""
        self.ended = False
        self._kept = ""

    def feed(self, characters: str) -> list[str]:
        """The lines that these characters end."""
        given = self._ESCAPE.sub("", self._kept + characters)
        begun = self._ESCAPE_BEGUN.search(given)
        self._kept = begun[0] if begun else ""
        lines = []
        for character in given[: begun.start()] if begun else given:
            if character in "\r\n":
                lines.append(self.text)
                self.text = ""
            elif character in "\x7f\b":
                self.text = self.text[:-1]
            elif character == "\x15":
                self.text = ""
            elif character == "\x17":
                self.text = self.text.rstrip().rpartition(" ")[0]
            elif character == "\x04":
                self.ended = self.ended or not self.text
            elif character.isprintable():
                self.text += character
        return lines

import asyncio
import os
import pty
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.entrypoints.cli.steering import InputLine, NoSuchCommand, Say, Steer, read_line
from fastvideo.entrypoints.cli.typed_lines import TypedLines


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("  a red ball \n", Say("a red ball")),
        ("/stop", Steer.STOP),
        (" /Pause ", Steer.PAUSE),
        ("/fly", NoSuchCommand("/fly")),
        ("   ", None),
    ],
)
def test_a_line_is_a_prompt_or_a_command(line, meaning):
    assert read_line(line) == meaning


@pytest.mark.parametrize(
    ("typed", "lines", "left"),
    [
        ("red\nblue", ["red"], "blue"),
        ("rex\x7fd\n", ["red"], ""),
        ("red ball\x17", [], "red"),
        ("red\x15blue", [], "blue"),
        ("r\x1b[De\x1b[1;5Cd\x1bOH", [], "red"),
        ("rot \U0001f534\n", ["rot \U0001f534"], ""),
    ],
)
def test_a_typed_line_can_be_edited(typed, lines, left):
    line = InputLine()
    assert line.feed(typed) == lines
    assert line.text == left


def test_ctrl_d_ends_on_an_empty_line_alone():
    line = InputLine()
    line.feed("a\x04")
    assert not line.ended
    line.feed("\x7f\x04")
    assert line.ended


@given(st.text(alphabet=st.sampled_from("ab\n\x7f\x15\x17\x1b[DO1;")), st.data())
def test_it_does_not_matter_in_which_pieces_characters_come(text, data):
    whole, pieces = InputLine(), InputLine()
    cut = data.draw(st.integers(0, len(text)))
    lines = pieces.feed(text[:cut]) + pieces.feed(text[cut:])
    assert (whole.feed(text), whole.text) == (lines, pieces.text)


class Heard:
    def __init__(self):
        self.lines = []
        self.changes = asyncio.Event()
        self.ended = asyncio.Event()

    def reader(self, fd):
        return TypedLines(fd, self.lines.append, self.ended.set, self.changes.set)


async def test_a_terminal_does_not_show_what_is_typed_and_is_as_before_afterwards():
    ours, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    heard = Heard()
    typed = heard.reader(terminal)
    with typed.reading():
        assert not termios.tcgetattr(terminal)[3] & (termios.ECHO | termios.ICANON)
        os.write(ours, "ein grüner".encode())
        async with asyncio.timeout(30):
            await heard.changes.wait()
        assert typed.typed == "ein grüner"
        os.write(ours, b" Ball\n\x04")
        async with asyncio.timeout(30):
            await heard.ended.wait()
    assert heard.lines == ["ein grüner Ball"]
    assert termios.tcgetattr(terminal) == before
    os.close(ours)
    os.close(terminal)


async def test_a_file_is_read_at_once_and_needs_no_last_newline(tmp_path):
    (tmp_path / "prompts").write_text("one\ntwo")
    heard = Heard()
    with (tmp_path / "prompts").open() as file, heard.reader(file.fileno()).reading():
        assert heard.ended.is_set()
    assert heard.lines == ["one", "two"]


async def test_no_input_is_one_that_is_over():
    heard = Heard()
    with heard.reader(None).reading():
        assert heard.ended.is_set()

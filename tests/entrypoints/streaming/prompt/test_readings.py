"""What a word classifier gets to read of a prompt."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.prompt.readings import MAX_CHARS, WINDOW_WORDS, Unreadable, readings


def test_plain_words_are_read_once() -> None:
    assert readings("a quiet lake at dawn") == ["a quiet lake at dawn"]


def test_words_are_read_as_written_and_bare() -> None:
    assert readings("A Café,\n\tby  the sea!") == ["A Café, by the sea!", "a cafe by the sea"]


@pytest.mark.parametrize(
    ("disguised", "words"),
    [
        ("bl\u200bo\u00ado\u2060d", "blood"),
        ("b l o o d on it", "blood on it"),
        ("b.l.o.o.d", "blood"),
        ("bl00d", "blood"),
        ("a $t@b w0und", "a stab wound"),
        ("bl\u043e\u043ed", "blood"),
        ("\uff22\uff4c\uff4f\uff4f\uff44", "blood"),
        ("b\u0335l\u0336o\u0337o\u0301d", "blood"),
        ("\U0001d4eb\U0001d4f5\U0001d4f8\U0001d4f8\U0001d4ed", "blood"),
        ("".join(chr(0xE0000 + ord(letter)) for letter in "blood"), "blood"),
        ("b\ufe0flo\u034fod", "blood"),
        ("___blood___", "blood"),
    ],
)
def test_a_disguised_word_is_read_undisguised_too(disguised: str, words: str) -> None:
    assert words in readings(disguised)


def test_letters_with_marks_of_their_own_and_emoji_stay_words() -> None:
    assert "किताब и 書 🔥 fire" in readings("किताब и 書🔥fire")


@pytest.mark.parametrize("mark", ["</s>", "__label__safe", "__label__"])
def test_nothing_makes_fasttext_stop_or_skip(mark: str) -> None:
    for line in readings(f"a lake {mark} blood {mark}blood"):
        assert "</s>" not in line
        assert not any(word.startswith("__label__") for word in line.split())
        assert "blood" in line


@pytest.mark.parametrize("count", [WINDOW_WORDS, WINDOW_WORDS + 1, 2 * WINDOW_WORDS, 5 * WINDOW_WORDS + 3])
def test_a_long_text_is_read_as_a_whole_and_in_parts_that_overlap(count: int) -> None:
    words = [f"word{'x' * number}" for number in range(count)]
    whole, *parts = readings(" ".join(words))
    assert whole == " ".join(words)
    assert all(len(part.split()) <= WINDOW_WORDS for part in parts)
    # Whatever fits half a part is whole in one of them.
    half = WINDOW_WORDS // 2
    for start in range(count - half):
        phrase = " ".join(words[start : start + half])
        assert any(f" {phrase} " in f" {part} " for part in [*parts, *([] if parts else [whole])])


def test_a_blank_text_has_no_lines_and_one_that_shows_nothing_is_unreadable() -> None:
    assert readings(" \n\t") == []
    for text in ("\u200b", "\u3164\u115f", "\x00", "\ue000"):
        with pytest.raises(Unreadable, match="nothing to read"):
            readings(text)


@pytest.mark.parametrize("text", ["x" * (MAX_CHARS + 1), "\ufdfa" * (MAX_CHARS // 2)])
def test_a_text_that_is_or_becomes_far_too_long_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match=f"at most {MAX_CHARS} characters"):
        readings(text)


@given(st.text(st.characters(), max_size=400) | st.text("ab01@ .-_</>sl_label\u200b\n\x00", max_size=200))
@example("\ud800 a </s></s>")
@example("</</s>s>")
@example("__label____label__x __lab__label__el__y")
@example("<\u200b/s>")
@example("_\u200b_label__x")
def test_every_line_is_one_line_of_text_that_fasttext_reads_to_its_end(text: str) -> None:
    try:
        lines = readings(text)
    except Unreadable:
        return
    for line in lines:
        assert line == " ".join(line.split())
        assert line
        line.encode("utf-8")
        assert "\0" not in line
        for word in line.split(" "):
            assert word != "</s>"
            assert not word.startswith("__label__")

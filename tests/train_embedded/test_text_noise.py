"""Careless writing leaves what tells one scene from another."""

from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from scripts.train_embedded.text_noise import disturb, misspelt

CAPTION = "There is a big red star on the left side in front of blue stripes. It spins."


@given(st.integers(0, 10_000))
def test_the_same_seed_disturbs_in_the_same_way_and_never_to_nothing(seed: int) -> None:
    once, again = (disturb(CAPTION, default_rng(seed)) for _ in range(2))
    assert once == again
    assert once.strip()


def test_short_telling_words_stay_whatever_happens() -> None:
    for seed in range(300):
        words = disturb(CAPTION, default_rng(seed)).lower().replace(".", " ").split()
        assert {"big", "red", "on"} <= set(words)


def test_half_of_the_captions_stay_and_the_others_differ_in_many_ways() -> None:
    disturbed = [disturb(CAPTION, default_rng(seed)) for seed in range(400)]
    assert 150 < disturbed.count(CAPTION) < 280
    assert len(set(disturbed)) > 100


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12), st.integers(0, 1000))
def test_a_misspelt_word_keeps_its_first_letter_and_nearly_its_length(word: str, seed: int) -> None:
    result = misspelt(word, default_rng(seed))
    assert result[0] == word[0]
    assert abs(len(result) - len(word)) <= 1
    if len(word) < 4:
        assert result == word


def test_numbers_and_punctuation_are_not_misspelt() -> None:
    assert misspelt("left-hand", default_rng(0)) == "left-hand"

import torch

from fastvideo.pipelines.basic.ltx2.batch import TextContext
from fastvideo.pipelines.basic.ltx2.text_cache import EncodedText, TextCache


class Encoder:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def of(self, cache: TextCache, text: str, length: int | None = None, weights: int = 0) -> TextContext:
        def encode() -> TextContext:
            self.asked.append(text)
            return TextContext(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))

        return cache.of(EncodedText(text, length, weights), encode)


def test_a_text_is_encoded_once_while_it_is_kept() -> None:
    encoder, cache = Encoder(), TextCache(4)
    assert encoder.of(cache, "a") is encoder.of(cache, "a")
    assert encoder.asked == ["a"]


def test_words_length_and_weights_all_count() -> None:
    encoder, cache = Encoder(), TextCache(8)
    for length, weights in ((None, 0), (128, 0), (None, 1)):
        encoder.of(cache, "a", length, weights)
    encoder.of(cache, "a ")
    assert encoder.asked == ["a", "a", "a", "a "]


def test_the_text_that_was_not_used_for_longest_goes_first() -> None:
    encoder, cache = Encoder(), TextCache(2)
    for text in ("a", "b", "a", "c", "a", "b"):
        encoder.of(cache, text)
    assert encoder.asked == ["a", "b", "c", "b"]
    assert len(cache) == 2


def test_without_entries_nothing_is_kept() -> None:
    encoder, cache = Encoder(), TextCache(0)
    for _ in range(2):
        encoder.of(cache, "a")
    assert encoder.asked == ["a", "a"]
    assert (cache.enabled, len(cache)) == (False, 0)

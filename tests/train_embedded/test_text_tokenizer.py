"""The tokenizer is small, learns the same every time, and reads what people type."""

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from scripts.train_embedded.text_batches import caption_batch, held_out_batch
from scripts.train_embedded.text_sizes import LARGEST_VOCABULARY, TEXT_TOKENS
from scripts.train_embedded.tokenizer import learn_tokenizer

CAPTIONS = caption_batch(0, 0, 2000).captions


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return learn_tokenizer(CAPTIONS)


def test_it_learns_the_same_from_the_same_captions_and_stays_small(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) <= LARGEST_VOCABULARY
    again: Tokenizer = learn_tokenizer(CAPTIONS).backend_tokenizer
    assert again.to_str() == tokenizer.backend_tokenizer.to_str()


def test_special_tokens_are_where_the_text_encoder_expects_them(tokenizer: PreTrainedTokenizerFast) -> None:
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id) == (0, 1, 2)


@pytest.mark.parametrize("text", ["A RED BALL", "  a  red\nball ", "á red ball"])
def test_case_spaces_and_accents_make_no_difference(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.encode(text) == tokenizer.encode("a red ball")


def test_a_word_is_the_same_at_the_beginning_and_further_on(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.encode("red ball")[1:] == tokenizer.encode("a red ball")[2:]


def test_captions_come_back_and_fit_beside_the_registers(tokenizer: PreTrainedTokenizerFast) -> None:
    for own in (False, True):
        for caption in held_out_batch(1, 200, own=own).captions:
            ids = tokenizer.encode(caption)
            assert tokenizer.unk_token_id not in ids
            assert len(ids) <= TEXT_TOKENS - 17
            assert tokenizer.decode(ids[1:]).strip() == " ".join(caption.lower().split())


def test_what_is_not_ascii_is_one_unknown_token(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer.encode("red 🙂 ball")
    assert ids.count(tokenizer.unk_token_id) == 1

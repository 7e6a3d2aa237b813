"""The embedded model's tokenizer: byte pairs learnt from the world's captions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from scripts.train_embedded.text_sizes import LARGEST_VOCABULARY, TEXT_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>")
# What is left of printable ASCII after lower-casing; "Ġ" is how byte-level tokens spell a space.
_CHARACTERS = [*sorted({chr(code) for code in range(33, 127)} - set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")), "Ġ"]


def learn_tokenizer(captions: Iterable[str], *, vocabulary: int = LARGEST_VOCABULARY) -> PreTrainedTokenizerFast:
    """At most ``vocabulary`` tokens; the same captions in the same order give the same ones.

    Case, accents and runs of white space make no difference, and the first word is spelt like any other. A character
    outside ASCII becomes "<unk>".
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIALS),
        initial_alphabet=_CHARACTERS,
        limit_alphabet=len(_CHARACTERS),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    bos = tokenizer.token_to_id("<bos>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", bos)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("pad_token", "eos_token", "bos_token", "unk_token"), _SPECIALS, strict=True)),
        model_max_length=TEXT_TOKENS,
        padding_side="left",
    )

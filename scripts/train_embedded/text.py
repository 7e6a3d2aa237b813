"""The text stage: trains tokenizer, text encoder and connectors to tell what captions say.

python -m scripts.train_embedded.text --folder outputs/embedded

What prompts may say: one or two things, each with a colour, a shape, a motion, a size (medium if not said) and a place
(the middle if not said; of two things the first named is above or to the left), before a backdrop with a colour and a
pattern (plain if not said; without any backdrop white, or black behind what is pale); and for what goes on: that
it does, a thing's new colour, motion or shape, or a new backdrop. The words are those of `world/lexicon.py` and
`text_wordings.py`, in any case, with filler before and after, without articles or punctuation, and with some spelling
mistakes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fastvideo.models.ltx2.connectors import TextConnectors, TextConnectorsConfig
from fastvideo.models.ltx2.loader import TEXT_ENCODER_FOLDER, official_key, split_key
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder, without_progress_bar
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.text_batches import CaptionBatch, caption_batch, held_out_batch
from scripts.train_embedded.text_model import TextModel, through_connectors
from scripts.train_embedded.text_prompts import PROMPTS
from scripts.train_embedded.text_sizes import TEXT_TOKENS, text_section
from scripts.train_embedded.text_targets import ATTRIBUTES, classes
from scripts.train_embedded.tokenizer import learn_tokenizer
from scripts.train_embedded.training import Plan, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FILE_NAME = "connectors.safetensors"

_STRAY_WEIGHT = 0.5
TOKENIZER_CAPTIONS = 20_000
_VALIDATION_CAPTIONS = 1_000


def train_text(
    plan: Plan,
    batch: int,
    folder: Path,
    *,
    tokenizer_captions: int = TOKENIZER_CAPTIONS,
    stop_at: int | None = None,
) -> TextModel:
    """Trains from the last snapshot in ``folder``; writes the text encoder's folder and the connectors' part."""
    tokenizer = tokenizer_of(plan.seed, tokenizer_captions)
    torch.manual_seed(plan.seed)
    model = TextModel(len(tokenizer))

    def losses_at(step: int) -> dict[str, Tensor]:
        captions = caption_batch(plan.seed, step, batch)
        # The fused attention's backward pass takes five times as long for texts as short as these.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            contexts = model.contexts(*token_batch(tokenizer, captions.captions))
        return reading_losses(model, contexts, captions.targets)

    model.load_state_dict(train(model, losses_at, plan, folder, stop_at=stop_at))
    write_text(model, tokenizer, folder)
    return model


@cache
def tokenizer_of(seed: int, captions: int = TOKENIZER_CAPTIONS) -> PreTrainedTokenizerFast:
    """The tokenizer that a run with that seed trains with, learnt from that many captions."""
    return learn_tokenizer(caption_batch(seed, 0, captions).captions)


def reading_losses(model: TextModel, contexts: Sequence[Tensor], targets: Tensor) -> dict[str, Tensor]:
    """Cross entropy over all readers with how far the contexts strayed, and the share of attributes told right."""
    losses, strayed, right = [], [], []
    for reader, context in zip((model.video_reader, model.audio_reader), contexts, strict=True):
        read = reader(context)
        for number, name in enumerate(ATTRIBUTES):
            losses += [F.cross_entropy(read[key], targets[:, number]) for key in (name, f"{name}_joint")]
            right.append((read[name].argmax(dim=-1) == targets[:, number]).float().mean())
        strayed.append(reader.strayed(context, targets))
    reading, straying = torch.stack(losses).mean(), torch.stack(strayed).mean()
    return {"loss": reading + _STRAY_WEIGHT * straying, "strayed": straying, "right": torch.stack(right).mean()}


def token_batch(tokenizer: PreTrainedTokenizerFast, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token ids and mask int64 [B, T], padded on the left to the longest caption."""
    tokens = tokenizer(list(captions), padding=True, truncation=True, max_length=TEXT_TOKENS, return_tensors="pt")
    return tokens["input_ids"], tokens["attention_mask"]


def write_text(model: TextModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """``text_encoder/`` and ``connectors.safetensors``, both in bfloat16, the latter with official names."""
    tokenizer.save_pretrained(str(folder / TEXT_ENCODER_FOLDER))
    encoder = type(model.encoder)(model.encoder.config)
    encoder.load_state_dict(model.encoder.state_dict())
    with without_progress_bar():
        encoder.to(torch.bfloat16).save_pretrained(str(folder / TEXT_ENCODER_FOLDER))
    tensors = {official_key("connectors", name): t.bfloat16() for name, t in model.connectors.state_dict().items()}
    write_tensors(folder / FILE_NAME, tensors, {"transformer": json.dumps(text_section())})


def load_text(folder: Path) -> tuple[GemmaTextEncoder, TextConnectors]:
    """What :func:`train_text` wrote, in float32 and frozen."""
    encoder = GemmaTextEncoder.from_folder(folder / TEXT_ENCODER_FOLDER)
    with safe_open(folder / FILE_NAME, framework="pt") as file:
        config = TextConnectorsConfig.from_metadata(json.loads(file.metadata()["transformer"]))
        names = {key: split_key(key) for key in file.keys()}  # noqa: SIM118
        state = {name[1]: file.get_tensor(key) for key, name in names.items() if name is not None}
    connectors = TextConnectors(replace(config, num_text_hidden_states=encoder.num_hidden_states))
    connectors.load_state_dict(state)
    return encoder, connectors.eval().requires_grad_(False)


@torch.no_grad()
def contexts_of(
    encoder: GemmaTextEncoder, connectors: TextConnectors, captions: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """The pipeline's contexts [B, 64, 128] of picture and sound, at the cost of the longest caption."""
    longest = int(encoder.tokens(captions)[1].sum(dim=1).max())
    hidden_states, mask = encoder.encode(captions, length=longest)
    return through_connectors(connectors, hidden_states, mask)


@torch.no_grad()
def readings(model: TextModel, folder: Path, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The classes int64 [B, attributes] that the readers take from the two contexts of the written parts."""
    contexts = contexts_of(*load_text(folder), captions)
    video, audio = (
        reader(context) for reader, context in zip((model.video_reader, model.audio_reader), contexts, strict=True)
    )
    return _most_likely(video), _most_likely(audio)


def _most_likely(logits: dict[str, Tensor]) -> Tensor:
    return torch.stack([logits[name].argmax(dim=-1) for name in ATTRIBUTES], dim=1)


def accuracies(read: tuple[Tensor, Tensor], targets: Tensor) -> dict[str, float]:
    """Shares of captions of which both contexts tell an attribute right; "all": without any mistake."""
    right = (read[0] == targets) & (read[1] == targets)
    shares = dict(zip(ATTRIBUTES, right.float().mean(dim=0).tolist(), strict=True))
    return shares | {"all": float(right.all(dim=1).float().mean())}


def report(model: TextModel, folder: Path, seed: int, *, captions: int = _VALIDATION_CAPTIONS) -> None:
    """Prints what the written parts tell of captions of held-out scenes and of prompts written by hand."""
    by_hand = CaptionBatch([text for text, _ in PROMPTS], torch.tensor([classes(said) for _, said in PROMPTS]))
    batches = {
        "captions of held-out scenes": held_out_batch(seed, captions, own=False),
        "people's wordings of held-out scenes": held_out_batch(seed, captions, own=True),
        "prompts written by hand": by_hand,
    }
    for name, batch in batches.items():
        read = readings(model, folder, batch.captions)
        shares = accuracies(read, batch.targets)
        shown = "  ".join(f"{attribute} {100 * share:.1f} %" for attribute, share in shares.items())
        print(f"text: {len(batch.captions)} {name}: {shown}", flush=True)
        if batch is by_hand:
            for caption, row, targets in zip(batch.captions, read[0].tolist(), batch.targets.tolist(), strict=True):
                wrong = [a for a, got, meant in zip(ATTRIBUTES, row, targets, strict=True) if got != meant]
                if wrong:
                    print(f"text:   {caption!r}: mistakes {', '.join(wrong)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the snapshot and the trained parts")
    parser.add_argument("--steps", type=int, default=1000, help="length of the run (default 1000)")
    parser.add_argument("--batch", type=int, default=64, help="captions a step (default 64)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default 0.002)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and captions (default 0)")
    arguments = parser.parse_args()
    plan = Plan("text", arguments.steps, arguments.rate, arguments.seed, warmup_steps=100)
    model = train_text(plan, arguments.batch, arguments.folder)
    report(model, arguments.folder, plan.seed)


if __name__ == "__main__":
    main()

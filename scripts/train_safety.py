#!/usr/bin/env python3
"""Train a small prompt classifier that shows the format of streaming.safety.classifier_path. No protection by itself.

Its texts come from a grammar (scripts/safety_grammar.yaml); the same seed gives the same texts. Writes the classifier
and, beside it, a card with what it was measured to do.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from fastvideo.entrypoints.streaming.prompt.readings import readings
from fastvideo.entrypoints.streaming.prompt.safety import PromptSafetyFilter, SafetyDecision, SafetyResult

GRAMMAR = Path(__file__).with_name("safety_grammar.yaml")
LABELS = ("safe", "unsafe")
# Every fifth subject is never trained on.
HELD_OUT_STEP = 5
_NAME = re.compile(r"\{(\w+)\}")
_CARD = """# {name}

A fastText classifier of video prompts: `__label__safe` or `__label__unsafe`. Made by `scripts/train_safety.py` with
seed {seed} from {count} prompts of a small English grammar (`scripts/safety_grammar.yaml`).

**It shows the format and serves tests. It is no protection for a public server**: it knows the few dozen subjects of
its grammar and spellings near them, in English, and nobody has measured it on what people really write. For a public
server take a classifier that was trained and measured on such text.

Measured on {held_out} prompts that are not in its training, with a threshold of 0.5; `unsafe` is what should be found.

| prompts | precision | recall |
|---|---|---|
| new combinations of subjects that it knows | {known.precision:.3f} | {known.recall:.3f} |
| subjects that it never saw | {new.precision:.3f} | {new.recall:.3f} |
"""


class Check(Protocol):
    """What is measured."""

    def classify(self, prompt: str) -> SafetyResult: ...


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its label."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Measure:
    """How many of the blocked prompts should have been, and how many of those that should have been were."""

    precision: float
    recall: float


class Grammar:
    """Prompts from lists of phrases that name each other in braces."""

    def __init__(self, lists: Mapping[str, Any]) -> None:
        self._lists = lists

    def subjects(self, label: str, *, held_out: bool) -> list[str]:
        """The subjects with a label that are kept from training, or the others."""
        groups: Mapping[str, Sequence[str]] = self._lists[label]
        return [
            subject
            for group in groups.values()
            for index, subject in enumerate(group)
            if (index % HELD_OUT_STEP == HELD_OUT_STEP - 1) == held_out
        ]

    def prompts(self, rng: random.Random, *, held_out: bool) -> Iterator[Example]:
        """Prompts without end, labels in turn, each of them once."""
        subjects = {label: self.subjects(label, held_out=held_out) for label in LABELS}
        seen = set()
        while True:
            for label in LABELS:
                frame = rng.choice(self._lists["frames"])
                text = self._filled(frame.replace("{subject}", rng.choice(subjects[label])), rng)
                if text not in seen:
                    seen.add(text)
                    yield Example(text, label)

    def _filled(self, text: str, rng: random.Random) -> str:
        return _NAME.sub(lambda name: self._filled(rng.choice(self._lists[name[1]]), rng), text)


def take(prompts: Iterator[Example], count: int) -> list[Example]:
    return [next(prompts) for _ in range(count)]


def train(examples: Sequence[Example], path: Path, *, seed: int) -> None:
    """Write a quantized classifier of ``examples``, each in all its readings."""
    import fasttext

    lines = [f"__label__{example.label} {line}\n" for example in examples for line in readings(example.text)]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "train.txt"
        text.write_text("".join(lines), encoding="utf-8")
        # Each thread sets a tenth of the first matrix, rounded down; the rest is what was in memory, NaN included.
        # So ten threads, and a dimension that ten divides. Whose step comes first is then up to the machine.
        model = fasttext.train_supervised(
            str(text),
            dim=20,
            bucket=20_000,
            minn=3,
            maxn=5,
            wordNgrams=2,
            epoch=12,
            lr=0.4,
            thread=10,
            seed=seed,
            verbose=0,
        )
        model.quantize(input=str(text), cutoff=6000, qnorm=True, verbose=0)
    model.save_model(str(path))


def measure(safety: Check, examples: Sequence[Example]) -> Measure:
    """Precision and recall of ``unsafe``. 0 where nothing was blocked, or nothing should have been."""
    blocked = [example for example in examples if safety.classify(example.text).decision is SafetyDecision.BLOCK]
    right = sum(example.label == "unsafe" for example in blocked)
    wanted = sum(example.label == "unsafe" for example in examples)
    return Measure(right / max(len(blocked), 1), right / max(wanted, 1))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the file to write, e.g. prompt-classifier.ftz; its card ends in .md")
    parser.add_argument("--count", type=int, default=3000, help="prompts to train on (default 3000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same texts (default 0)")
    options = parser.parse_args(arguments)
    if options.count < 100:
        parser.error(f"--count: expected at least 100 prompts, got {options.count}")
    if not options.path.parent.is_dir():
        parser.error(f"expected a file in a folder that is there, got {options.path}")

    grammar = Grammar(yaml.safe_load(GRAMMAR.read_text(encoding="utf-8")))
    rng = random.Random(options.seed)
    prompts = grammar.prompts(rng, held_out=False)
    held_out = 500
    train(take(prompts, options.count), options.path, seed=options.seed)
    safety = PromptSafetyFilter(classifier_path=options.path)
    safety.load()
    known = measure(safety, take(prompts, held_out))
    new = measure(safety, take(grammar.prompts(rng, held_out=True), held_out))
    card = _CARD.format(
        name=options.path.name, seed=options.seed, count=options.count, held_out=2 * held_out, known=known, new=new
    )
    options.path.with_suffix(".md").write_text(card, encoding="utf-8")
    print(f"{options.path}: {options.path.stat().st_size} bytes")
    for title, result in (("subjects that it knows", known), ("subjects that it never saw", new)):
        print(f"{title}: precision {result.precision:.3f}, recall {result.recall:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

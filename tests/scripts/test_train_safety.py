"""The script that trains a small prompt classifier, and what it says of it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import yaml

from fastvideo.api import load_session_presets
from fastvideo.entrypoints.streaming.prompt import PromptSafetyFilter, first_blocked
from fastvideo.resources import example_prompts, session_presets_dir
from scripts.train_safety import GRAMMAR, LABELS, Example, Grammar, Measure, main, measure

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_safety.py"


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar(yaml.safe_load(GRAMMAR.read_text(encoding="utf-8")))


def test_it_writes_a_classifier_and_a_card_that_says_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "small.ftz"
    command = [sys.executable, "-W", "error", str(SCRIPT), str(path), "--count", "800", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size < 300_000
    safety = PromptSafetyFilter(classifier_path=path)
    assert safety.classify("a dragon made of glass flies over a city").allowed
    assert not safety.classify("a mutilated corpse with its organs visible").allowed

    printed = re.findall(r"precision ([\d.]+), recall ([\d.]+)", done.stdout)
    card = (tmp_path / "small.md").read_text(encoding="utf-8")
    assert re.findall(r"\| ([\d.]+) \| ([\d.]+) \|", card) == printed
    assert "no protection for a public server" in card
    assert "seed 3 from 800 prompts" in card
    (_, known_recall), (_, new_recall) = printed
    assert float(known_recall) > 0.95
    # Chance would find half of them.
    assert float(new_recall) > 0.6


def test_the_same_seed_gives_the_same_prompts_each_once_and_labels_in_turn(grammar: Grammar) -> None:
    def some(seed: int) -> list[Example]:
        return list(islice(grammar.prompts(random.Random(seed), held_out=False), 400))

    assert some(1) == some(1) != some(2)
    assert len({example.text for example in some(1)}) == 400
    counts = Counter(example.label for example in some(1))
    assert min(counts[label] for label in LABELS) > 150
    assert not any("{" in example.text for example in some(1))


@pytest.mark.parametrize("label", LABELS)
def test_subjects_that_are_held_out_are_never_trained_on(grammar: Grammar, label: str) -> None:
    trained, held_out = grammar.subjects(label, held_out=False), grammar.subjects(label, held_out=True)
    assert not set(trained) & set(held_out)
    assert 4 <= len(held_out) < len(trained) / 3


def test_the_prompts_that_are_shipped_may_be_played(prompt_classifier: Path) -> None:
    safety = PromptSafetyFilter(classifier_path=prompt_classifier)
    presets = load_session_presets(session_presets_dir()).values()
    assert first_blocked(safety, [*example_prompts(), *(text for preset in presets for text in preset.prompts)]) is None


class ByWord:
    """Blocks what has "bad" in it."""

    def classify(self, prompt: str) -> object:
        from fastvideo.entrypoints.streaming.prompt import SafetyDecision, SafetyResult

        return SafetyResult(prompt, SafetyDecision.BLOCK if "bad" in prompt else SafetyDecision.ALLOW)


def test_precision_is_of_what_was_blocked_and_recall_of_what_should_have_been() -> None:
    texts = [("bad", "unsafe"), ("bad 2", "unsafe"), ("bad luck", "safe"), ("worse", "unsafe"), ("good", "safe")]
    examples = [Example(*pair) for pair in texts]
    assert measure(ByWord(), examples) == Measure(precision=2 / 3, recall=2 / 3)
    assert measure(ByWord(), examples[:2] + examples[3:]) == Measure(precision=1.0, recall=2 / 3)
    assert measure(ByWord(), examples[4:]) == Measure(precision=0.0, recall=0.0)


@pytest.mark.parametrize("arguments", [["here.ftz", "--count", "5"], ["/nowhere/at/all/here.ftz"], []])
def test_wrong_usage_is_a_sentence_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

"""A fastText file is looked through before its C++ loader gets it, which would crash on a damaged one."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fasttext
import pytest

from fastvideo.entrypoints.streaming.prompt.classifier_file import (
    MAGIC,
    ClassifierFileInvalid,
    read_classifier_file,
)

# Loads each of the damaged files; a crash of the loader would end the process. The file's header is 64 bytes.
CHILD = """
import random, struct, sys
from pathlib import Path
from fastvideo.api.errors import CheckpointError
from fastvideo.entrypoints.streaming.prompt.safety import PromptSafetyFilter, SafetyDecision

whole, folder = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
rng = random.Random(7)
damaged = folder / "damaged.ftz"
outcomes = {"refused": 0, "loaded": 0}

def attempt(data):
    damaged.write_bytes(data)
    safety = PromptSafetyFilter(classifier_path=damaged, block_labels=["l0"])
    try:
        safety.load()
    except CheckpointError as error:
        assert str(damaged) in str(error)
        outcomes["refused"] += 1
        return
    outcomes["loaded"] += 1
    assert safety.classify("two strangers in the rain, " * 20).decision in SafetyDecision

for length in [*range(0, 130, 3), *(rng.randrange(len(whole)) for _ in range(60)), *range(len(whole) - 9, len(whole))]:
    attempt(whole[:length])
assert outcomes["loaded"] == 0, outcomes
for at in [*range(64, 92), *(rng.randrange(92, len(whole)) for _ in range(40))]:
    attempt(whole[:at] + bytes([rng.randrange(256)]) + whole[at + 1 :])
for at in [*range(0, 92, 4), *(rng.randrange(92, len(whole) - 8) for _ in range(20))]:
    for value in (0, 1, -1, 2**31 - 1, -(2**31)):
        attempt(whole[:at] + struct.pack("<i", value) + whole[at + 4 :])
print(outcomes)
"""


Train = Callable[..., Path]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Trains on ``lines`` of ``labels`` and saves, after ``quantize`` when it is given."""

    def trained(labels: int = 2, quantize: dict[str, Any] | None = None, **options: Any) -> Path:
        text = tmp_path / "text.txt"
        text.write_text(
            "".join(f"__label__l{n % labels} word{n % 300} and some more\n" for n in range(3 * labels + 600))
        )
        # With fewer threads, or a dimension that ten does not divide, parts of the matrix stay as they were in memory.
        settings = {"dim": 10, "epoch": 1, "thread": 10, "verbose": 0, "bucket": 400, "minn": 3, "maxn": 4, **options}
        model = fasttext.train_supervised(str(text), **settings)
        if quantize is not None:
            model.quantize(input=str(text), verbose=0, **quantize)
        path = tmp_path / "model.bin"
        model.save_model(str(path))
        return path

    return trained


def test_damaged_files_are_refused_or_harmless_and_never_crash(train: Train, tmp_path: Path) -> None:
    whole = train(quantize={"cutoff": 300, "qnorm": True})
    command = [sys.executable, "-c", CHILD, str(whole), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert "'refused': " in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"minn": 0, "maxn": 0},
        {"wordNgrams": 3, "minn": 0, "maxn": 0},
        {"loss": "hs", "labels": 7},
        {"loss": "ova", "labels": 3},
        {"loss": "ns"},
        {"quantize": {}},
        {"quantize": {"qnorm": True}},
        {"quantize": {"cutoff": 300}},
        {"quantize": {"cutoff": 300, "qnorm": True, "dsub": 3}},
        {"quantize": {"qout": True}, "labels": 300},
    ],
    ids=str,
)
def test_every_kind_of_classifier_that_fasttext_writes_is_read(train: Train, options: dict[str, Any]) -> None:
    path = train(**options)
    model = fasttext.load_model(str(path))
    described = read_classifier_file(path)
    assert sorted(described.labels) == sorted(label.removeprefix("__label__") for label in model.get_labels())
    assert (described.dimension, described.words) == (model.get_dimension(), len(model.get_words()))
    assert described.loss == options.get("loss", "softmax")


def test_word_vectors_are_no_classifier(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a few words and a few more\n" * 20)
    model = fasttext.train_unsupervised(str(text), dim=10, minCount=1, bucket=10, thread=10, epoch=1, verbose=0)
    model.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(ClassifierFileInvalid, match="holds word vectors, expected a supervised classifier"):
        read_classifier_file(tmp_path / "vectors.bin")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is no fastText model"),
        (b"MZ\x90\x00" * 10, "is no fastText model"),
        (struct.pack("<ii", MAGIC, 11), "has format 11, expected 12"),
        (struct.pack("<ii", MAGIC, 12), "ends too early"),
        (struct.pack("<ii12id", MAGIC, 12, 4, 1, 1, 1, 1, 1, 3, 3, 0, 3, 6, 1, 0.0), "is damaged before its byte 64"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with pytest.raises(ClassifierFileInvalid, match=sentence):
        read_classifier_file(path)


def test_bytes_after_the_end_are_refused(prompt_classifier: Path, tmp_path: Path) -> None:
    path = tmp_path / "longer.ftz"
    path.write_bytes(prompt_classifier.read_bytes() + b"\0" * 5)
    with pytest.raises(ClassifierFileInvalid, match="has 5 bytes after its end"):
        read_classifier_file(path)


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, sentence in (("pipe", "is no regular file"), (".", "is no regular file"), ("none", "is not there")):
        with pytest.raises(ClassifierFileInvalid, match=sentence):
            read_classifier_file(tmp_path / path)

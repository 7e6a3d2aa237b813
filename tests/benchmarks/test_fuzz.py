"""Wrong input at every parser of clients' bytes: the quick form of ``benchmarks/fuzz.py``, and what it once found."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from benchmarks import fuzz
from benchmarks.bombs import BOMBS
from benchmarks.fuzz_targets import TARGETS
from benchmarks.fuzz_trial import Watch, try_inputs
from benchmarks.report import Effort, Report

pytestmark = pytest.mark.timeout(120)

# Those that are made in a moment: the others are tried by the benchmark.
QUICK_BOMBS = [
    ("images", "PNG of 50,000 x 50,000 pixels that are not there"),
    ("images", "PNG of 1.4 million empty chunks"),
    ("images", "JPEG of 4 million empty comments"),
    ("images", "animated WebP of 16,383 x 16,383 pixels by its header"),
    ("messages", "48 MiB of empty lists"),
    ("messages", "a number of a million digits"),
    ("boxes", "8 MiB of empty boxes"),
    ("blobs", "2**32 frames"),
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    # As in a server: Pillow warns of damaged files.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_taken_or_refused_with_a_documented_error(name: str) -> None:
    trial = try_inputs(TARGETS[name](), 200, seed=1)
    assert trial.inputs >= 200
    assert trial.taken
    assert trial.refused
    assert [failure for failure in trial.failures if failure["what"].startswith("raised")] == []


@pytest.mark.parametrize(("name", "bomb"), QUICK_BOMBS)
def test_a_bomb_is_refused_before_it_takes_anything(name: str, bomb: str) -> None:
    target = TARGETS[name]()
    with pytest.raises(target.documented):
        target.take(BOMBS[name, bomb]())


def test_an_error_that_is_not_documented_is_a_finding() -> None:
    target = TARGETS["boxes"]()
    watch = Watch(target)
    watch.put(target.seeds[0])
    assert watch.done().failures == []

    def faulty(data: bytes) -> object:
        raise KeyError("surprise")

    object.__setattr__(target, "take", faulty)
    watch.put(b"x")
    assert "KeyError" in watch.done().failures[0]["what"]


def test_what_was_found_becomes_figures() -> None:
    trial = {"inputs": 2, "taken": 1, "refused": {"BoxError": 1}, "slowest_s": 0.2, "largest_bytes": 1, "failures": []}
    made = fuzz.report(Effort.QUICK, {"boxes": trial}, {"boxes: a": trial, "boxes: b": trial})
    assert isinstance(made, Report)
    assert [figure.met for figure in made.figures] == [True, False, True] * 2

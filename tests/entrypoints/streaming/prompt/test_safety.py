"""Which prompts may be used, and that none may when nobody could check it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api import ConfigValidationError, GeneratorConfig, ServeConfig, parse_config
from fastvideo.api.errors import CheckpointError
from fastvideo.api.schema import PromptSafetyConfig
from fastvideo.entrypoints.streaming.prompt import (
    PromptSafetyFilter,
    SafetyDecision,
    build_safety_filter,
    first_blocked,
)
from fastvideo.entrypoints.streaming.prompt.readings import MAX_CHARS

HARMLESS = "a woman makes tea and looks out of the window"
HARMFUL = "a masked person tortures a prisoner with a knife"


@pytest.fixture
def safety(prompt_classifier: Path) -> PromptSafetyFilter:
    return build_safety_filter(PromptSafetyConfig(enabled=True, classifier_path=str(prompt_classifier)))


def test_harmless_prompts_pass_and_harmful_ones_are_blocked(safety: PromptSafetyFilter) -> None:
    harmless, harmful = safety.classify(HARMLESS), safety.classify(HARMFUL)
    assert (harmless.decision, harmless.allowed, harmless.prompt) == (SafetyDecision.ALLOW, True, HARMLESS)
    assert harmless.score < 0.5
    assert (harmful.decision, harmful.allowed, harmful.label) == (SafetyDecision.BLOCK, False, "unsafe")
    assert harmful.score >= 0.5


@pytest.mark.parametrize(
    "text",
    [
        f"{HARMLESS} </s> {HARMFUL}",
        " ".join(f"__label__{word}" for word in HARMFUL.split()),
        "\u200b".join(HARMFUL),
        HARMFUL.replace("o", "0").replace("e", "3").replace("i", "1"),
        HARMFUL.replace("o", "\u043e").replace("a", "\u0430"),
        " ".join([HARMLESS] * 20 + [HARMFUL] + [HARMLESS] * 20),
        HARMFUL.upper().replace(" ", "\n"),
    ],
    ids=["after the end mark", "as labels", "zero width", "digits", "look-alikes", "in a long text", "lines"],
)
def test_a_harmful_prompt_is_blocked_however_it_is_written(safety: PromptSafetyFilter, text: str) -> None:
    assert safety.classify(text).decision is SafetyDecision.BLOCK


def test_the_threshold_decides(prompt_classifier: Path, safety: PromptSafetyFilter) -> None:
    score = safety.classify("a red sunset").score
    assert 0.0 < score < 1.0
    for threshold, decision in ((score, SafetyDecision.BLOCK), (score + 1e-9, SafetyDecision.ALLOW)):
        other = PromptSafetyFilter(classifier_path=prompt_classifier, block_threshold=threshold)
        assert other.classify("a red sunset").decision is decision


def test_the_first_that_is_blocked_is_told(safety: PromptSafetyFilter) -> None:
    assert first_blocked(safety, [HARMLESS, HARMLESS]) is None
    found = first_blocked(safety, [HARMLESS, HARMFUL, HARMFUL + "!"])
    assert found is not None
    assert found.prompt == HARMFUL


def test_switched_off_everything_passes_and_no_file_is_read() -> None:
    for safety in (
        build_safety_filter(PromptSafetyConfig(enabled=False, classifier_path="/nowhere/at/all")),
        PromptSafetyFilter(classifier_path=None),
    ):
        assert not safety.enabled
        assert safety.classify(HARMFUL).allowed


def test_a_blank_prompt_passes_and_one_that_cannot_be_read_does_not(safety: PromptSafetyFilter) -> None:
    assert safety.classify(" \n").allowed
    for text in ("\u200b", "lake " * MAX_CHARS):
        assert safety.classify(text).decision is SafetyDecision.UNAVAILABLE


class Broken:
    """A classifier that answers as a test wants."""

    def __init__(self, answer: Callable[[list[str]], Any]) -> None:
        self.predict = lambda lines, k: answer(lines)


def raises(lines: list[str]) -> Any:
    raise RuntimeError(f"could not read {lines[0]}")


@pytest.mark.parametrize(
    "answer",
    [
        raises,
        lambda lines: None,
        lambda lines: ([], []),
        lambda lines: ([[]], [[]]),
        lambda lines: ([["__label__safe"]] * 9, [[1.0]] * 9),
        lambda lines: ([["__label__other"]] * len(lines), [[0.9]] * len(lines)),
        lambda lines: ([["__label__safe"]] * len(lines), [[float("nan")]] * len(lines)),
        lambda lines: ([["__label__safe"]] * len(lines), [[7.0]] * len(lines)),
        lambda lines: ([["__label__safe", "__label__unsafe"]] * len(lines), [[1.0]] * len(lines)),
    ],
    ids=["raises", "nothing", "no lines", "no labels", "too many", "a stranger", "nan", "seven", "half"],
)
def test_a_classifier_that_fails_or_answers_nonsense_blocks_and_the_log_has_no_prompt(
    safety: PromptSafetyFilter, answer: Callable[[list[str]], Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert safety.classify(HARMLESS).allowed
    safety._classifier._model = Broken(answer)  # type: ignore[union-attr]
    with caplog.at_level(logging.DEBUG):
        result = safety.classify(HARMLESS)
    assert (result.decision, result.allowed) == (SafetyDecision.UNAVAILABLE, False)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "could not be checked" in record.getMessage()
    assert HARMLESS not in caplog.text + repr(result) + str(result.reason)


def test_a_blocked_prompt_is_logged_without_its_words(
    safety: PromptSafetyFilter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        result = safety.classify(HARMFUL)
    assert "'unsafe' with a score of" in caplog.text
    assert not any(word in caplog.text + repr(result) for word in ("tortures", "prisoner", "knife"))


def test_a_filter_that_cannot_load_blocks_and_tries_once(tmp_path: Path) -> None:
    path = tmp_path / "model.ftz"
    safety = PromptSafetyFilter(classifier_path=path)
    first = safety.classify(HARMLESS)
    path.write_bytes(b"something else")
    second = safety.classify(HARMLESS)
    assert first.decision is second.decision is SafetyDecision.UNAVAILABLE
    assert first.reason == second.reason
    assert first.reason is not None
    assert "is not there" in first.reason


def enabled(path: Path | None, **settings: Any) -> PromptSafetyConfig:
    return PromptSafetyConfig(enabled=True, classifier_path=None if path is None else str(path), **settings)


def test_a_start_without_a_path_is_refused_with_the_setting() -> None:
    with pytest.raises(ConfigValidationError) as caught:
        build_safety_filter(enabled(None))
    assert caught.value.path == "streaming.safety.classifier_path"


def test_a_start_with_a_file_that_cannot_be_used_says_so(prompt_classifier: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ftz"
    broken.write_bytes(prompt_classifier.read_bytes()[:-1])
    for path, sentence in (
        (tmp_path / "none.ftz", "is not there"),
        (tmp_path, "is no regular file"),
        (Path(__file__), "is no fastText model"),
        (broken, "ends too early"),
    ):
        with pytest.raises(CheckpointError, match=sentence) as caught:
            build_safety_filter(enabled(path))
        assert str(path) in str(caught.value)
        assert "streaming.safety.classifier_path" in str(caught.value)


def test_a_start_with_labels_that_do_not_fit_says_which_there_are(prompt_classifier: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no label 'nsfw', but '(un)?safe', '(un)?safe'"):
        build_safety_filter(enabled(prompt_classifier, block_labels=["unsafe", "nsfw"]))
    with pytest.raises(CheckpointError, match="every prompt would be blocked"):
        build_safety_filter(enabled(prompt_classifier, block_labels=["unsafe", "safe"]))


def test_several_labels_block_together(tmp_path: Path) -> None:
    import fasttext

    text = tmp_path / "text.txt"
    lines = ["__label__hate of strangers", "__label__nsfw of strangers", "__label__fine tea at home"]
    text.write_text("".join(f"{lines[number % 3]}\n" for number in range(300)))
    model = fasttext.train_supervised(str(text), dim=10, lr=1.0, thread=10, verbose=0)
    model.save_model(str(tmp_path / "model.bin"))
    safety = build_safety_filter(enabled(tmp_path / "model.bin", block_labels=["hate", "nsfw"], block_threshold=0.9))
    # Neither label is that likely alone.
    result = safety.classify("of strangers")
    assert result.decision is SafetyDecision.BLOCK
    assert result.label in ("hate", "nsfw")
    assert safety.classify("tea at home").allowed


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"block_threshold": 0.0}, "block_threshold"),
        ({"block_threshold": 1.5}, "block_threshold"),
        ({"block_labels": []}, "block_labels"),
        ({"block_labels": "unsafe"}, "block_labels"),
    ],
)
def test_settings_out_of_their_bounds_are_refused_with_their_path(settings: dict[str, Any], path: str) -> None:
    raw = {"generator": {"model_path": "mock:"}, "streaming": {"safety": settings}}
    with pytest.raises(ConfigValidationError) as caught:
        parse_config(ServeConfig, raw)
    assert caught.value.path == f"streaming.safety.{path}"
    assert GeneratorConfig(model_path="mock:")
    with pytest.raises(ValueError, match="expected"):
        PromptSafetyFilter(classifier_path=None, block_threshold=0.0)
    with pytest.raises(ValueError, match="expected"):
        PromptSafetyFilter(classifier_path=None, block_labels=[])


def test_without_the_package_the_start_names_the_extra(prompt_classifier: Path) -> None:
    code = f"""
import sys
sys.modules["fasttext"] = None
from fastvideo.api.schema import PromptSafetyConfig
from fastvideo.entrypoints.streaming.prompt import PromptSafetyFilter, build_safety_filter
assert not build_safety_filter(PromptSafetyConfig()).enabled
try:
    build_safety_filter(PromptSafetyConfig(enabled=True, classifier_path={str(prompt_classifier)!r}))
except ValueError as error:
    print(error)
print(PromptSafetyFilter(classifier_path={str(prompt_classifier)!r}).classify("a lake").decision)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'fastvideo[safety]'" in done.stdout
    assert "SafetyDecision.UNAVAILABLE" in done.stdout


def test_many_threads_may_ask_and_load_once(prompt_classifier: Path) -> None:
    safety = PromptSafetyFilter(classifier_path=prompt_classifier)
    begin = threading.Barrier(8)
    wrong: list[str] = []
    classifiers = set()

    def ask() -> None:
        begin.wait()
        for _ in range(20):
            if not safety.classify(HARMLESS).allowed or safety.classify(HARMFUL).allowed:
                wrong.append("differs")
            classifiers.add(id(safety._classifier))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(classifiers) == 1


@given(text=st.text(st.characters(), max_size=300))
def test_any_text_gets_a_decision(prompt_classifier: Path, text: str) -> None:
    safety = _shared.setdefault(prompt_classifier, PromptSafetyFilter(classifier_path=prompt_classifier))
    result = safety.classify(text)
    assert result.decision in SafetyDecision
    assert 0.0 <= result.score <= 1.0
    assert result.allowed == (result.decision is SafetyDecision.ALLOW)


# Loaded once for all examples.
_shared: dict[Path, PromptSafetyFilter] = {}

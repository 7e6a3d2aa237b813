"""Which prompts may reach a generator. Once it is switched on, a prompt that could not be checked may not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from fastvideo.api.errors import CheckpointError, ConfigValidationError, FastVideoError
from fastvideo.api.schema import PromptSafetyConfig
from fastvideo.entrypoints.streaming.prompt.classifier import FastTextClassifier
from fastvideo.entrypoints.streaming.prompt.readings import Unreadable, readings

logger = logging.getLogger(__name__)


class SafetyDecision(Enum):
    """What became of a check. UNAVAILABLE: there was none, so the prompt may not be used either."""

    ALLOW = "allow"
    BLOCK = "block"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class SafetyResult:
    """``score``: the probability that the prompt has a label that blocks, 0 to 1; ``label``: the likeliest of those.

    ``reason`` is for the log, and holds nothing of the prompt; nor does the repr.
    """

    prompt: str = field(repr=False)
    decision: SafetyDecision
    score: float = 0.0
    label: str | None = None
    reason: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the prompt may reach a generator."""
        return self.decision is SafetyDecision.ALLOW


class PromptSafetyFilter:
    """A fastText classifier in front of prompts; switched off, or without a path, it allows everything.

    A prompt is blocked when in one of its readings the labels in ``block_labels`` have a probability of
    ``block_threshold`` or more, together. Any thread may ask. Raises ValueError for a threshold outside (0, 1] and for
    no labels.
    """

    def __init__(
        self,
        *,
        classifier_path: str | Path | None,
        enabled: bool = True,
        block_threshold: float = 0.5,
        block_labels: Sequence[str] = ("unsafe",),
    ) -> None:
        if not 0.0 < block_threshold <= 1.0:
            raise ValueError(f"expected a block_threshold above 0, up to 1, got {block_threshold}")
        if not block_labels:
            raise ValueError("expected at least one label that blocks")
        self._path = classifier_path if enabled else None
        self._threshold = block_threshold
        self._labels = tuple(block_labels)
        self._classifier: FastTextClassifier | None = None
        self._failure: FastVideoError | None = None
        self._lock = threading.Lock()

    @property
    def enabled(self) -> bool:
        """Whether prompts are checked."""
        return self._path is not None

    def load(self) -> None:
        """Load the classifier now rather than at the first prompt. Raises CheckpointError for a file that cannot be
        used or lacks a label, ConfigValidationError when the package is not installed."""
        if self._path is None:
            return
        with self._lock:
            if self._failure is not None:
                # One attempt: a file that could not be loaded is not read again for every prompt.
                raise self._failure
            if self._classifier is None:
                try:
                    self._classifier = _with_labels(FastTextClassifier(self._path), self._labels, self._path)
                except FastVideoError as error:
                    self._failure = error
                    raise

    def classify(self, prompt: str) -> SafetyResult:
        """Whether ``prompt`` may be used. Never raises: what cannot be checked is UNAVAILABLE, and logged without its
        words. Takes below 0.5 ms for a usual prompt, about 5 ms for 4,000 characters."""
        if self._path is None:
            return SafetyResult(prompt, SafetyDecision.ALLOW)
        try:
            result = self._checked(prompt)
        except (FastVideoError, Unreadable) as error:
            result = SafetyResult(prompt, SafetyDecision.UNAVAILABLE, reason=f"it could not be checked: {error}")
        except Exception as error:
            # Whatever it is, the prompt was not checked. The binding's exceptions quote it: only their type is told.
            cause = type(error).__name__
            result = SafetyResult(prompt, SafetyDecision.UNAVAILABLE, reason=f"it could not be checked: {cause}")
        if not result.allowed:
            level = logging.INFO if result.decision is SafetyDecision.BLOCK else logging.ERROR
            logger.log(level, "prompt not used: %s", result.reason)
        return result

    def _checked(self, prompt: str) -> SafetyResult:
        if self._classifier is None:
            self.load()
        assert self._classifier is not None
        lines = readings(prompt)
        if not lines:
            return SafetyResult(prompt, SafetyDecision.ALLOW)
        score, label = max(map(self._score, self._classifier.probabilities(lines)))
        if score < self._threshold:
            return SafetyResult(prompt, SafetyDecision.ALLOW, score, label)
        return SafetyResult(prompt, SafetyDecision.BLOCK, score, label, f"{label!r} with a score of {score:.3f}")

    def _score(self, probabilities: dict[str, float]) -> tuple[float, str]:
        # The sum is exact where labels exclude each other, and else no less than the chance of any of them.
        blocking = [(probabilities.get(label, 0.0), label) for label in self._labels]
        return min(sum(value for value, _ in blocking), 1.0), max(blocking)[1]


def build_safety_filter(config: PromptSafetyConfig) -> PromptSafetyFilter:
    """The filter of a serve file, loaded when it is switched on. Raises ConfigValidationError for the settings, and
    CheckpointError for the file."""
    if config.enabled and not config.classifier_path:
        raise ConfigValidationError(
            "streaming.safety.classifier_path", "expected the path of a fastText model, as streaming.safety is enabled"
        )
    safety = PromptSafetyFilter(
        classifier_path=config.classifier_path,
        enabled=config.enabled,
        block_threshold=config.block_threshold,
        block_labels=config.block_labels,
    )
    safety.load()
    return safety


def first_blocked(filter_: PromptSafetyFilter, prompts: Iterable[str]) -> SafetyResult | None:
    """The result for the first of ``prompts`` that may not be used; None when all may."""
    return next((result for result in map(filter_.classify, prompts) if not result.allowed), None)


def _with_labels(classifier: FastTextClassifier, wanted: Sequence[str], path: str | Path) -> FastTextClassifier:
    known = ", ".join(map(repr, classifier.labels[:20]))
    missing = [label for label in wanted if label not in classifier.labels]
    if missing:
        raise CheckpointError(
            f"the prompt classifier {path} has no label {missing[0]!r}, but {known}; "
            "set streaming.safety.block_labels to those that block"
        )
    if set(classifier.labels) <= set(wanted):
        raise CheckpointError(
            f"the prompt classifier {path} has no label that allows, only {known}; every prompt would be blocked"
        )
    return classifier

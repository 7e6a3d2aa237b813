"""A supervised fastText model: how likely each of its labels is for a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.entrypoints.streaming.prompt.classifier_file import (
    LABEL_PREFIX,
    ClassifierFileInvalid,
    read_classifier_file,
)

# fastText adds 1e-5 before it takes a logarithm.
_ROUNDING = 1e-3


class FastTextClassifier:
    """The model of a ``.bin`` or ``.ftz`` file. Any thread may ask it; its answers depend on nothing but the line.

    Raises CheckpointError for a file that is missing, damaged or no such model, ConfigValidationError when the package
    is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import fasttext
        except ImportError:
            raise ConfigValidationError(
                "streaming.safety.enabled",
                "needs a package that is not installed: pip install 'fastvideo[safety]' (fasttext-numpy2)",
            ) from None
        path = Path(path)
        try:
            self.labels = read_classifier_file(path).labels
            self._model: Any = fasttext.load_model(str(path.resolve()))
            self.probabilities(["a lake"])
        except ClassifierFileInvalid as error:
            raise _unusable(path, str(error)) from None
        except OSError as error:
            raise _unusable(path, f"cannot be read ({error.strerror})") from None
        except Exception as error:
            # The loader raises whatever its C++ threw.
            raise _unusable(path, f"could not be loaded ({type(error).__name__})") from error

    def probabilities(self, lines: Sequence[str]) -> list[dict[str, float]]:
        """Per line, without line breaks in it: label to probability, 0 to 1; a label may be left out when it is near 0.

        Raises ValueError for an answer that is none, and whatever fastText raises.
        """
        answers = zip(*self._model.predict(list(lines), k=len(self.labels)), strict=True)
        found = [self._answer(labels, values) for labels, values in answers]
        if len(found) != len(lines):
            raise ValueError(f"expected {len(lines)} answers, got {len(found)}")
        return found

    def _answer(self, labels: Sequence[str], values: Sequence[float]) -> dict[str, float]:
        answer = {label.removeprefix(LABEL_PREFIX): float(value) for label, value in zip(labels, values, strict=True)}
        if not answer or not answer.keys() <= set(self.labels):
            raise ValueError(f"expected some of {len(self.labels)} labels, got {len(answer)}")
        for value in answer.values():
            if not (math.isfinite(value) and -_ROUNDING <= value <= 1 + _ROUNDING):
                raise ValueError("expected probabilities, got other numbers")
        return {label: min(max(value, 0.0), 1.0) for label, value in answer.items()}


def _unusable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the prompt classifier {path} {reason}; streaming.safety.classifier_path has to be a supervised fastText model"
    )

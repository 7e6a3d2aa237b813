"""Typed reading of nested objects in the JSON configuration of a checkpoint's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastvideo.api.errors import CheckpointError


@dataclass(frozen=True)
class MetadataSection:
    """One JSON object of a checkpoint's configuration. An absent or null key gives the default of the reader.

    ``path`` is the dotted place of the object, for error messages. Keys that nobody asks for are ignored: official
    sections also carry training settings. Every reader raises CheckpointError on a value of the wrong type.
    """

    values: Mapping[str, Any]
    path: str

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def section(self, key: str) -> MetadataSection:
        """The object under ``key``, empty when there is none."""
        value = self.values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise self._wrong(key, "an object", value)
        return MetadataSection(value, f"{self.path}.{key}")

    def integer(self, key: str, default: int) -> int:
        """A positive integer."""
        value = self.values.get(key)
        if value is None:
            return default
        if not _is_positive_integer(value):
            raise self._wrong(key, "a positive integer", value)
        return int(value)

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A non-empty list of positive integers."""
        value = self.values.get(key)
        return default if value is None else self._integers(key, value)

    def integer_lists(self, key: str, default: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        """A non-empty list of non-empty lists of positive integers."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, list | tuple) or not value:
            raise self._wrong(key, "a list of lists of positive integers", value)
        return tuple(self._integers(f"{key}[{index}]", row) for index, row in enumerate(value))

    def number(self, key: str, default: float) -> float:
        """A finite number that is not negative."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise self._wrong(key, "a number of at least 0", value)
        return float(value)

    def noise_levels(self, key: str) -> tuple[float, ...]:
        """A list of numbers that fall from 1 and stay above 0; may be empty, and is where there is none."""
        value = self.values.get(key)
        if value is None or value == []:
            return ()
        numbers = isinstance(value, list | tuple) and all(
            isinstance(item, int | float) and not isinstance(item, bool) for item in value
        )
        if not numbers or value[0] != 1 or any(not a > b > 0 for a, b in pairwise(value)):
            raise self._wrong(key, "numbers falling from 1, all above 0", value)
        return tuple(map(float, value))

    def flag(self, key: str, default: bool) -> bool:
        """A boolean."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def choice(self, key: str, supported: tuple[str, ...], default: str) -> str:
        """One of the ``supported`` words."""
        self.require(key, *supported)
        value = self.values.get(key)
        return default if value is None else str(value)

    def require(self, key: str, *supported: object) -> None:
        """Raises CheckpointError when ``key`` is set to something that is not ``supported``."""
        value = self.values.get(key)
        if value is not None and value not in supported:
            expected = " or ".join(repr(choice) for choice in supported)
            raise self._wrong(key, f"{expected}, the only kind implemented here", value)

    def _integers(self, key: str, value: object) -> tuple[int, ...]:
        if not isinstance(value, list | tuple) or not value or not all(_is_positive_integer(item) for item in value):
            raise self._wrong(key, "a list of positive integers", value)
        return tuple(int(item) for item in value)

    def _wrong(self, key: str, expected: str, value: object) -> CheckpointError:
        return CheckpointError(f"checkpoint metadata {self.path}.{key}: expected {expected}, got {value!r}")


def _is_positive_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0

"""The metrics that there are, by name. Listing them loads none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastvideo.eval.result import Better, Score

if TYPE_CHECKING:
    from fastvideo.eval.clip import Sample

Measure = Callable[["Sample"], Score]


class Need(StrEnum):
    """What a metric needs beside the picture."""

    REFERENCE = "reference"
    PROMPT = "prompt"
    SOUND = "sound"
    JOINS = "joins"


@dataclass(frozen=True)
class Metric:
    """A metric: how it is called, what it says, and how to load it.

    ``load(device)`` gives the function that measures; what has to be loaded (a network) is loaded there, once.
    ``packages`` are the modules that must be importable, and ``install`` the sentence that says how to get them.
    """

    name: str
    group: str
    summary: str
    load: Callable[[str], Measure]
    unit: str = ""
    better: Better = Better.HIGHER
    needs: frozenset[Need] = frozenset()
    packages: tuple[str, ...] = ()
    install: str = ""

    def missing(self) -> str | None:
        """The sentence that says what to install; None when all is there."""
        absent = [package for package in self.packages if find_spec(package) is None]
        if not absent:
            return None
        return f"{self.name} needs {' and '.join(absent)}, which is not installed. {self.install}".strip()


_metrics: dict[str, Metric] = {}


def register(metric: Metric) -> Metric:
    """Add a metric to those that ``get_metric`` finds. Raises ValueError for a name that is taken."""
    if metric.name in _metrics:
        raise ValueError(f"there is a metric {metric.name!r} already")
    _metrics[metric.name] = metric
    return metric


def list_metrics(group: str | None = None) -> list[Metric]:
    """All metrics, or those of a group, in the order of their registration. Raises ValueError for an unknown group."""
    found = [metric for metric in _metrics.values() if group in (None, metric.group)]
    if not found:
        groups = ", ".join(dict.fromkeys(metric.group for metric in _metrics.values()))
        raise ValueError(f"there is no group {group!r} of metrics; groups are {groups}")
    return found


def get_metric(name: str) -> Metric:
    """The metric of that name. Raises ValueError for an unknown one."""
    metric = _metrics.get(name)
    if metric is None:
        raise ValueError(f"there is no metric {name!r}; metrics are {', '.join(_metrics)}")
    return metric


def loaded_from(module: str, function: str = "measure") -> Callable[[str], Measure]:
    """A ``Metric.load`` for a plain function, whose module is imported when it is asked for."""

    def load(_device: str) -> Measure:
        measure: Measure = getattr(import_module(module), function)
        return measure

    return load


def made_by(module: str, function: str = "load", *arguments: str) -> Callable[[str], Measure]:
    """A ``Metric.load`` for a function that takes the device, and ``arguments``, and makes the one that measures."""

    def load(device: str) -> Measure:
        measure: Measure = getattr(import_module(module), function)(device, *arguments)
        return measure

    return load

"""What a running fastvideo consists of: the packages that it and its extras require, as they are installed here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("ltx2", "redis", "s3", "safety")
# Chosen for a machine's GPU, or for none, and installed by itself.
TORCH = "torch"
_CUDA = ("nvidia-", "cuda-", "triton")
# What the images run on, so that the answer is the same wherever it is asked for.
_TARGET = {
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
}


@dataclass(frozen=True)
class Package:
    """An installed package and the names of those that it requires directly."""

    name: str
    version: str
    licence: str
    requires: tuple[str, ...]


def runtime_closure(extras: tuple[str, ...] = EXTRAS) -> dict[str, Package]:
    """All packages by name, fastvideo itself left out. Raises PackageNotFoundError when one is not installed."""
    found: dict[str, Package] = {}
    waiting = own_requirements(extras)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        installed = distribution(name)
        required = list(_required(installed.requires or (), wanted))
        waiting += required
        names = {other for other, _ in required} | set(found[name].requires if name in found else ())
        found[name] = Package(name, installed.version.partition("+")[0], licence_of(installed), tuple(sorted(names)))
    return dict(sorted(found.items()))


def own_requirements(extras: tuple[str, ...] = EXTRAS) -> list[tuple[str, frozenset[str]]]:
    """What pyproject.toml names: packages and their extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return list(_required(texts, frozenset()))


def comes_with_torch(name: str) -> bool:
    """Whether torch or its build for GPUs brings a package."""
    return name == TORCH or name.startswith(_CUDA)


def licence_of(installed: Distribution) -> str:
    """The licence as a package states it: an SPDX expression, else classifiers, else the first line of its text."""
    metadata = installed.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [
        entry.rpartition(" :: ")[2] for entry in metadata.get_all("Classifier", []) if entry.startswith("License ::")
    ]
    return " AND ".join(classifiers) or (metadata.get("License") or "").strip().partition("\n")[0]


def _required(texts: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in texts:
        requirement = Requirement(text)
        contexts = [{**_TARGET, "extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(context) for context in contexts):
            name = canonicalize_name(requirement.name)
            if not name.startswith(_CUDA):
                yield name, frozenset(requirement.extras)

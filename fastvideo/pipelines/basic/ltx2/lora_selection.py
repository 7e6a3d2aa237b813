"""Which LoRA adapters a pipeline runs with: chosen by nickname between segments, and one more while it refines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from fastvideo.api.errors import ConfigValidationError
from fastvideo.models.ltx2.lora import LoraAdapter, LoraWeights
from fastvideo.pipelines.basic.ltx2.stage_overrides import REFINE

PARTS = ("transformer", "connectors")
# Adapters, each with its strength.
Merged = tuple[tuple[LoraAdapter, float], ...]


class LoraSelection:
    """Adapters by nickname, which of them are selected with what strength, and whether they are merged.

    ``elsewhere`` is told which are in the weights from now on, for other processes that have some of them.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], elsewhere: Callable[[Merged], None] = lambda adapters: None
    ) -> None:
        self._elsewhere = elsewhere
        self._modules = {part: modules[part] for part in PARTS}
        self._weights = LoraWeights(self._modules)
        self._known: dict[str, LoraAdapter] = {}
        self._selected: dict[str, float] = {}
        self._refining: Merged = ()
        self._merged = False
        #: A number that changes with the weights outside the refine stage.
        self.version = 0

    def select(self, nickname: str, path: Path | None, strength: float, *, accumulate: bool) -> None:
        """Load an adapter, or take one that was loaded before, and merge it: beside those that are selected with
        ``accumulate``, else in their place. Raises ConfigValidationError or CheckpointError, and changes nothing then.
        """
        if not math.isfinite(strength):
            raise ConfigValidationError("strength", f"expected a finite number, got {strength}")
        adapter = self._known.get(nickname)
        if path is not None and (adapter is None or adapter.path != path):
            adapter = LoraAdapter.load(path, self._modules)
        if adapter is None:
            known = ", ".join(sorted(self._known)) or "none"
            raise ConfigValidationError("nickname", f"no LoRA {nickname!r} was loaded, give its path; loaded: {known}")
        self._known[nickname] = adapter
        self._selected = {**(self._selected if accumulate else {}), nickname: strength}
        self.merge()

    def add_while_refining(self, path: Path, strength: float) -> None:
        """An adapter that is merged on top of the selected ones during the refine stage only."""
        self._refining = ((LoraAdapter.load(path, self._modules), strength),)

    def merge(self) -> None:
        """Put the selected adapters into the weights."""
        self._merged = True
        self.version += 1
        self._put(self._current())

    def unmerge(self) -> None:
        """Give back the weights as they were loaded; the selection stays."""
        self._merged = False
        self.version += 1
        self._put(())

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """The weights of that denoising stage, inside this block."""
        if stage != REFINE or not self._refining:
            yield
            return
        try:
            self._put((*self._current(), *self._refining))
            yield
        finally:
            self._put(self._current())

    def _put(self, adapters: Merged) -> None:
        self._weights.merge(adapters)
        self._elsewhere(adapters)

    def _current(self) -> Merged:
        if not self._merged:
            return ()
        return tuple((self._known[nickname], strength) for nickname, strength in self._selected.items())

"""Low-rank adapters (LoRA) in the official layout, and a model's weights with any of them merged.

A file has ``diffusion_model.<layer>.lora_A.weight`` [rank, in] and ``.lora_B.weight`` [out, rank] for linear layers of
the transformer and the connectors; W + strength * B A takes the place of W.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.quantisation import StoredWeight, put_back, put_dense, stored_weight
from fastvideo.models.ltx2.tensor_file import TensorFile
from fastvideo.models.ltx2.tensor_names import split_key

_KEY = re.compile(r"(?P<layer>diffusion_model\..+)\.lora_(?P<half>[AB])\.weight")


class LayerName(NamedTuple):
    """A linear layer by its part of the model and its name there."""

    part: str
    name: str


class LowRank(NamedTuple):
    """The two halves of one layer's update, ``down`` [rank, in] and ``up`` [out, rank], on the CPU."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """The updates of one file, of ``layers`` that the model has."""

    path: Path
    layers: Mapping[LayerName, LowRank]

    @classmethod
    def load(cls, path: Path, modules: Mapping[str, nn.Module]) -> LoraAdapter:
        """The adapter at ``path`` for the parts in ``modules``.

        Raises CheckpointError for a file that is not there or damaged, for names that are no linear layer of them, for
        half a pair, and for other shapes than the layer's.
        """
        if not path.is_file():
            raise CheckpointError(f"no LoRA at {path}: expected a .safetensors file")
        halves: dict[LayerName, dict[str, str]] = {}
        unknown = []
        with TensorFile.opened(path) as file:
            for key in file.keys:
                match = _KEY.fullmatch(key)
                place = split_key(f"model.{match['layer']}.weight") if match else None
                layer = None if place is None else LayerName(place[0], place[1].removesuffix(".weight"))
                if match is None or layer is None or _linear(modules, layer) is None:
                    unknown.append(key)
                else:
                    halves.setdefault(layer, {})[match["half"]] = key
            file.check_names(
                missing=[
                    next(iter(found.values())).replace(f"lora_{'BA'[half]}", f"lora_{'AB'[half]}")
                    for found in halves.values()
                    for half in (0, 1)
                    if "AB"[half] not in found
                ],
                unknown=unknown,
            )
            if not halves:
                raise CheckpointError(
                    f"{path} holds no LoRA: expected diffusion_model.<layer>.lora_A.weight and lora_B"
                )
            layers = {
                layer: _read(file, found, _known_linear(modules, layer).weight) for layer, found in halves.items()
            }
        return cls(path, layers)


class LoraWeights:
    """The weights of ``modules`` with adapters merged into them.

    What a layer was before stays in host memory from its first merge on: every merge starts from it, so that nothing
    adds up over many of them, and unmerging gives back every bit. Weights change in place: what was compiled stays so.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._originals: dict[LayerName, StoredWeight] = {}
        self._merged: tuple[tuple[LoraAdapter, float], ...] = ()

    @torch.no_grad()
    def merge(self, adapters: Sequence[tuple[LoraAdapter, float]]) -> None:
        """Make the weights those of the loaded model with exactly these adapters, each with its strength; without any,
        those of the loaded model."""
        wanted = tuple(adapters)
        if wanted == self._merged:
            return
        touched = {layer for adapter, _ in wanted for layer in adapter.layers}
        for layer in {layer for adapter, _ in self._merged for layer in adapter.layers} - touched:
            put_back(_known_linear(self._modules, layer), self._originals[layer])
        for layer in touched:
            linear = _known_linear(self._modules, layer)
            if layer not in self._originals:
                self._originals[layer] = stored_weight(linear)
            merged = self._originals[layer].dense(linear.weight.device)
            for adapter, strength in wanted:
                update = adapter.layers.get(layer)
                if update is not None:
                    up, down = (half.to(device=merged.device, dtype=torch.float32) for half in (update.up, update.down))
                    merged.addmm_(up, down, alpha=strength)
            put_dense(linear, merged)
        self._merged = wanted


def _linear(modules: Mapping[str, nn.Module], layer: LayerName) -> nn.Linear | None:
    module = modules.get(layer.part)
    try:
        found = None if module is None else module.get_submodule(layer.name)
    except AttributeError:
        return None
    return found if isinstance(found, nn.Linear) else None


def _known_linear(modules: Mapping[str, nn.Module], layer: LayerName) -> nn.Linear:
    linear = _linear(modules, layer)
    assert linear is not None
    return linear


def _read(file: TensorFile, halves: Mapping[str, str], weight: Tensor) -> LowRank:
    down, up = file.shape(halves["A"]), file.shape(halves["B"])
    if len(down) != 2 or len(up) != 2 or (up[0], down[1]) != tuple(weight.shape) or down[0] != up[1]:
        raise CheckpointError(
            f"{file.path}: {halves['A']} {list(down)} and {halves['B']} {list(up)} do not fit a layer of shape "
            f"{list(weight.shape)}"
        )
    return LowRank(*(file.tensor(halves[half]) for half in "AB"))

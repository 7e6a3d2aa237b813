"""Weights of linear layers in fp8 (e4m3), with one scale each: half of bf16's memory, and on new GPUs faster products.

A layer's weight is W = stored value * scale. Where the device multiplies fp8 numbers, activations are rounded to fp8 as
well, by a scale of their own in each call; elsewhere the weight is widened for each product, which saves memory alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastvideo.api.errors import ConfigValidationError
from fastvideo.models.ltx2.diffusers_folder import is_diffusers_folder
from fastvideo.models.ltx2.linear import Linear, rounded_to_fp8
from fastvideo.models.ltx2.loader import checkpoint_file
from fastvideo.models.ltx2.tensor_header import TensorHeader
from fastvideo.models.ltx2.tensor_names import split_key
from fastvideo.models.ltx2.transformer import LTX2Transformer

# The first GPUs that multiply fp8 numbers: Ada and Hopper.
_FP8_CAPABILITY = (8, 9)
_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.(.+)")
# At either end of the transformer, as in the official files.
_WIDE_BLOCKS = 2


class StoredWeight(NamedTuple):
    """A layer's weight as it is, in host memory; ``scale`` where it is quantised."""

    weight: Tensor
    scale: Tensor | None

    def dense(self, device: torch.device) -> Tensor:
        """A copy in float32 on ``device``."""
        wide = self.weight.to(device=device, dtype=torch.float32, copy=True)
        return wide if self.scale is None else wide * self.scale.to(device)


def quantise_transformer(transformer: LTX2Transformer, checkpoint: Path, device: torch.device) -> None:
    """Put into fp8 those linear layers that the file at ``checkpoint`` has in it; of a file without any, those that the
    official ones have: in all blocks but the first two and the last two, and no gates. ``device`` is where it will run.

    Raises ConfigValidationError when there are none.
    """
    names = quantised_layers(checkpoint) or usual_layers(transformer)
    if not names:
        raise ConfigValidationError(
            "engine.quantization.transformer_quant",
            f"expected null: of the model's {len(transformer.transformer_blocks)} blocks, fp8 leaves out the first two "
            "and the last two",
        )
    products = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FP8_CAPABILITY
    for name in sorted(names):
        layer = transformer.get_submodule(name)
        assert isinstance(layer, Linear)
        layer.quantise(products=products)


def quantised_layers(checkpoint: Path) -> frozenset[str]:
    """The transformer's linear layers that an official file has in fp8, by the header."""
    if is_diffusers_folder(checkpoint):
        return frozenset()
    places = (split_key(key) for key in TensorHeader.read(checkpoint_file(checkpoint)).quantised)
    return frozenset(place[1].removesuffix(".weight") for place in places if place and place[0] == "transformer")


def usual_layers(transformer: LTX2Transformer) -> Collection[str]:
    """Those that the official fp8 files of bf16 models have, whatever the model's size."""
    inner = range(_WIDE_BLOCKS, len(transformer.transformer_blocks) - _WIDE_BLOCKS)
    found = []
    for name, layer in transformer.named_modules():
        match = _BLOCK.fullmatch(name)
        if match and isinstance(layer, Linear) and int(match[1]) in inner and not name.endswith("to_gate_logits"):
            found.append(name)
    return found


def stored_weight(layer: nn.Linear) -> StoredWeight:
    """A copy of the layer's weight."""
    scale = layer.weight_scale if isinstance(layer, Linear) else None
    return StoredWeight(
        layer.weight.to(device="cpu", copy=True), None if scale is None else scale.to(device="cpu", copy=True)
    )


def put_back(layer: nn.Linear, stored: StoredWeight) -> None:
    """Let the layer have that weight again, to the bit, in place."""
    layer.weight.copy_(stored.weight)
    if stored.scale is not None:
        assert isinstance(layer, Linear)
        assert layer.weight_scale is not None
        layer.weight_scale.copy_(stored.scale)


def put_dense(layer: nn.Linear, weight: Tensor) -> None:
    """Let the layer have ``weight`` [out, in], float32, rounded to the layer's type, in place."""
    if isinstance(layer, Linear) and layer.weight_scale is not None:
        rounded, scale = rounded_to_fp8(weight)
        layer.weight.copy_(rounded)
        layer.weight_scale.copy_(scale)
    else:
        layer.weight.copy_(weight)

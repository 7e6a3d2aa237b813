"""A model trained in low precision, by a twin that computes for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.models.ltx2.transformer import LTX2Transformer, ModalityInput


class LowPrecision:
    """A model computed by a twin in another type: the twin's weights follow, and its gradients reach the model's.

    ``compiled`` fuses each block's small operations, which pays on long runs: the first steps take minutes.
    """

    def __init__(self, model: LTX2Transformer, dtype: torch.dtype, *, compiled: bool = False) -> None:
        self._model = model
        self._twin = deepcopy(model).to(dtype)
        self._pairs = list(zip(model.parameters(), self._twin.parameters(), strict=True))
        for own, other in self._pairs:
            other.register_post_accumulate_grad_hook(partial(_hand_over, own))
        if compiled:
            blocks = self._twin.transformer_blocks
            for number, block in enumerate(blocks):
                blocks[number] = cast(nn.Module, torch.compile(block, dynamic=True))

    def follow(self) -> None:
        """Takes over the model's weights, before each step."""
        with torch.no_grad():
            for own, other in self._pairs:
                other.copy_(own)

    def __call__(self, video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        on_cpu = video.latents.device.type == "cpu"
        with plain_attention() if on_cpu else nullcontext():
            out: tuple[Tensor, Tensor] = self._twin(video, audio)
        return out


def _hand_over(own: nn.Parameter, other: Tensor) -> None:
    assert other.grad is not None
    own.grad = other.grad.to(own.dtype)
    other.grad = None


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention as two matrix products: on CPUs, in bfloat16, the fused kernel's backward pass takes twice as long."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1) @ v

    fused = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused

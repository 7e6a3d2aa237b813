"""Linear layers that run through oneDNN on a CPU.

PyTorch hands float32 products to its BLAS. Where that is MKL and the processor is not Intel's, oneDNN takes half the
time for them, and adds the bias, and applies GELU, before the result has left the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.models.ltx2.cpu_arithmetic import infers_on_cpu

_AVAILABLE = bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class Linear(nn.Linear):
    """``nn.Linear``, through oneDNN where ``onednn`` is set and a CPU infers in float32."""

    onednn = _AVAILABLE

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in_features] -> [..., out_features]."""
        return self._product(x, gelu=False) if self._takes(x) else F.linear(x, self.weight, self.bias)

    def with_gelu(self, x: Tensor) -> Tensor:
        """GELU, in its tanh form, of the layer's output."""
        if self._takes(x):
            return self._product(x, gelu=True)
        return F.gelu(F.linear(x, self.weight, self.bias), approximate="tanh")

    def _takes(self, x: Tensor) -> bool:
        return self.onednn and infers_on_cpu(x) and self.weight.dtype == torch.float32

    def _product(self, x: Tensor, *, gelu: bool) -> Tensor:
        if torch.compiler.is_compiling():
            out: Tensor = torch.ops.fastvideo.onednn_linear(x, self.weight, self.bias, gelu)
            return out
        return _onednn_linear(x, self.weight, self.bias, gelu)


def use_onednn(module: nn.Module, wanted: bool) -> None:
    """Let the module's linear layers run through oneDNN, where PyTorch has it, or through its BLAS."""
    for layer in module.modules():
        if isinstance(layer, Linear):
            layer.onednn = wanted and _AVAILABLE


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    activation, variant = ("gelu", "tanh") if gelu else ("none", "")
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], variant)
    return out


# For the compiler it is one opaque operation: its own form of it wants weights that never change.
_compiled = torch.library.custom_op(
    "fastvideo::onednn_linear",
    _onednn_linear,
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? bias, bool gelu) -> Tensor",
)


@_compiled.register_fake
def _shape(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]))

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


_FP8 = torch.float8_e4m3fn
_FP8_LARGEST = 448.0


class Linear(nn.Linear):
    """``nn.Linear``, through oneDNN where ``onednn`` is set and a CPU infers in float32.

    Its weight may be in fp8 (see quantisation.py): then there is a ``weight_scale``, a buffer of one float32 value.
    """

    onednn = _AVAILABLE
    weight_scale: Tensor | None
    # Whether the device multiplies fp8 numbers.
    _fp8_products = False

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        # Files say nothing of it.
        self.register_buffer("weight_scale", None, persistent=False)

    def quantise(self, *, products: bool) -> None:
        """Round the weight to fp8; ``products`` says that the device multiplies such numbers."""
        weight, self.weight_scale = rounded_to_fp8(self.weight.detach().float())
        self.weight = nn.Parameter(weight, requires_grad=False)
        self._fp8_products = products and self.in_features % 16 == 0 and self.out_features % 16 == 0

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in_features] -> [..., out_features]."""
        if self.weight_scale is not None:
            return self._quantised(x, self.weight_scale)
        return self._product(x, gelu=False) if self._takes(x) else F.linear(x, self.weight, self.bias)

    def with_gelu(self, x: Tensor) -> Tensor:
        """GELU, in its tanh form, of the layer's output."""
        if self.weight_scale is not None:
            return F.gelu(self._quantised(x, self.weight_scale), approximate="tanh")
        if self._takes(x):
            return self._product(x, gelu=True)
        return F.gelu(F.linear(x, self.weight, self.bias), approximate="tanh")

    def _quantised(self, x: Tensor, weight_scale: Tensor) -> Tensor:
        if not self._fp8_products:
            return F.linear(x, self.weight.to(x.dtype) * weight_scale.to(x.dtype), self.bias)
        rows, scale = rounded_to_fp8(x.reshape(-1, self.in_features))
        out: Tensor = torch._scaled_mm(
            rows, self.weight.t(), scale_a=scale, scale_b=weight_scale, bias=self.bias, out_dtype=x.dtype
        )
        return out.view(*x.shape[:-1], self.out_features)

    def _takes(self, x: Tensor) -> bool:
        return self.onednn and infers_on_cpu(x) and self.weight.dtype == torch.float32

    def _product(self, x: Tensor, *, gelu: bool) -> Tensor:
        if torch.compiler.is_compiling():
            out: Tensor = torch.ops.fastvideo.onednn_linear(x, self.weight, self.bias, gelu)
            return out
        return _onednn_linear(x, self.weight, self.bias, gelu)


def rounded_to_fp8(x: Tensor) -> tuple[Tensor, Tensor]:
    """Values in fp8 (e4m3) of x's shape, and the float32 scale, of one value, that they are multiplied with."""
    scale = (x.abs().amax().float() / _FP8_LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    # What rounding leaves above the largest number would become NaN.
    return (x / scale.to(x.dtype)).clamp_(-_FP8_LARGEST, _FP8_LARGEST).to(_FP8), scale


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

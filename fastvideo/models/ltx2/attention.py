"""Attention, feed-forward and the weightless norm that the transformer and the text connectors share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.models.ltx2.cpu_arithmetic import runs_on_cpu_as_is
from fastvideo.models.ltx2.linear import Linear
from fastvideo.models.ltx2.rope import RopeTable, RopeType, rotate

# Attention of q [B, heads, N, D] to keys and values [B, heads, S, D], without a mask: [B, heads, N, D].
Mix = Callable[[Tensor, Tensor, Tensor], Tensor]
# Both [B, heads, S, D].
KeysValues = tuple[Tensor, Tensor]


def rms_norm(x: Tensor, eps: float, weight: Tensor | None = None) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, times ``weight`` where there is one."""
    if not runs_on_cpu_as_is(x):
        return F.rms_norm(x, (x.shape[-1],), weight, eps)
    # PyTorch has no kernel of its own for this on a CPU: it writes the squares to memory before it sums them up.
    gain = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    normed: Tensor = x * gain
    return normed if weight is None else normed.mul_(weight)


class Attention(nn.Module):
    """Multi-head attention with RMSNorm on q and k across all heads, RoPE, and an optional gate per head.

    Without ``context`` it is self-attention. There is no mask: registers fill the padding of a prompt, so that fused
    kernels can be used. The gate is 2 * sigmoid(logits of the query input), 1 at zero logits. ``mix`` is how heads
    attend, once queries and keys are normalised and rotated.
    """

    mix: Mix

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        head_dim: int,
        context_dim: int | None = None,
        eps: float = 1e-6,
        rope_type: RopeType = "split",
        gated: bool = False,
    ) -> None:
        super().__init__()
        inner_dim = heads * head_dim
        context_dim = dim if context_dim is None else context_dim
        self.heads = heads
        self.rope_type: RopeType = rope_type
        self.mix = F.scaled_dot_product_attention
        self._eps = eps
        self.to_q = Linear(dim, inner_dim)
        self.to_k = Linear(context_dim, inner_dim)
        self.to_v = Linear(context_dim, inner_dim)
        self.q_norm = nn.RMSNorm(inner_dim, eps=eps)
        self.k_norm = nn.RMSNorm(inner_dim, eps=eps)
        self.to_gate_logits = Linear(dim, heads) if gated else None
        self.to_out = nn.Sequential(Linear(inner_dim, dim))  # a sequence of one: checkpoints name it "to_out.0"

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        rope: RopeTable | None = None,
        context_rope: RopeTable | None = None,
        keys_values: KeysValues | None = None,
        values_only: bool = False,
    ) -> Tensor:
        """x [B, N, dim], context [B, S, context_dim] -> [B, N, dim]; ``context_rope`` defaults to ``rope``.

        ``keys_values`` are those of the context, where they are kept, and take its place. With ``values_only`` no token
        looks at another: each one's own value takes the place of the weighted sum.
        """
        if values_only:
            mixed = self._heads(self.to_v(x if context is None else context))
        else:
            q = self._heads(rms_norm(self.to_q(x), self._eps, self.q_norm.weight))
            k, v = self.keys_values(x if context is None else context) if keys_values is None else keys_values
            if rope is not None:
                q = rotate(q, rope, self.rope_type)
                k = rotate(k, rope if context_rope is None else context_rope, self.rope_type)
            mixed = self.mix(q, k, v)
        out = mixed.transpose(1, 2)  # [B, N, heads, head_dim]
        if self.to_gate_logits is not None:
            out = out * (2 * torch.sigmoid(self.to_gate_logits(x))).unsqueeze(-1)
        projected: Tensor = self.to_out(out.flatten(2))
        return projected

    def keys_values(self, context: Tensor) -> KeysValues:
        """Of context [B, S, context_dim], before any rotation."""
        return (
            self._heads(rms_norm(self.to_k(context), self._eps, self.k_norm.weight)),
            self._heads(self.to_v(context)),
        )

    def _heads(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        return x.view(batch, tokens, self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Linear to four times the width, GELU (tanh form), Linear back. Tensors: net.0.proj, net.2."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(_GeluProjection(dim, 4 * dim), nn.Identity(), Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class _GeluProjection(nn.Module):
    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = Linear(dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj.with_gelu(x)

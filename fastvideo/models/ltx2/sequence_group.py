"""Ranks that share one sequence of tokens: what they tell each other, and attention by heads (Ulysses).

Each rank has every ``size``-th part of the tokens. For attention, tokens are exchanged for heads: each rank then has
all tokens of its own heads, and gives them back afterwards. Nothing here uses a default process group, so that one
process can have several models.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor

from fastvideo.api.errors import ConfigValidationError

# Most of what is used of it has no types.
_dist: Any = torch.distributed


class SequenceGroup:
    """This process as ``rank`` of ``size``. Collectives take the same order on every rank, and raise RuntimeError when
    another one is gone."""

    def __init__(self, processes: Any, device: torch.device) -> None:
        """From a process group of c10d."""
        self._processes = processes
        self.device = device
        self.rank = int(processes.rank())
        self.size = int(processes.size())

    @classmethod
    def joined(cls, meeting: Path, rank: int, size: int, *, device: torch.device, timeout_s: float) -> SequenceGroup:
        """Meet the other ranks, of this machine, over the file ``meeting``, which all of them can read and write.

        Blocks until all are there, ``timeout_s`` at most, which is also the limit for each collective. NCCL carries
        what is on GPUs, gloo what is on the CPU, over the loopback interface alone.
        """
        store, timeout = _dist.FileStore(str(meeting), size), timedelta(seconds=timeout_s)
        if device.type == "cuda":
            torch.cuda.set_device(device)
            options = _dist.ProcessGroupNCCL.Options()
            options._timeout = timeout
            return cls(_dist.ProcessGroupNCCL(store, rank, size, options), device)
        options = _dist.ProcessGroupGloo._Options()
        options._devices = [_dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
        options._timeout = timeout
        return cls(_dist.ProcessGroupGloo(store, rank, size, options), device)

    def shared(self, tensor: Tensor) -> Tensor:
        """The values of rank 0's tensor; others pass one of the same shape and type, which is written over."""
        tensor = tensor.contiguous()
        options = _dist.BroadcastOptions()
        options.rootRank = options.rootTensor = 0
        self._processes.broadcast([tensor], options).wait()
        return tensor

    def part(self, tensor: Tensor, dim: int) -> Tensor:
        """This rank's share of ``tensor`` along ``dim``; zeros fill up the last ones, so that all are equally long."""
        count = tensor.shape[dim]
        share = -(-count // self.size)
        begin = min(self.rank * share, count)
        own = tensor.narrow(dim, begin, min(share, count - begin))
        missing = share - own.shape[dim]
        if not missing:
            return own
        shape = list(own.shape)
        shape[dim] = missing
        return torch.cat([own, own.new_zeros(shape)], dim=dim)

    def whole(self, part: Tensor, dim: int, count: int) -> Tensor:
        """The inverse of :meth:`part`, on every rank: the first ``count`` along ``dim`` of all shares in a row."""
        part = part.contiguous()
        parts = [torch.empty_like(part) for _ in range(self.size)]
        self._processes.allgather([parts], [part]).wait()
        return torch.cat(parts, dim=dim).narrow(dim, 0, count)

    def to_heads(self, tokens: Tensor, count: int) -> Tensor:
        """[..., heads, n, D] of this rank's tokens to [..., heads / size, count, D]: its heads of all tokens."""
        received = self._exchanged(torch.unflatten(tokens, -3, (self.size, -1)).movedim(-4, 0))
        # [rank, ..., heads / size, n, D] to the ranks' tokens in a row.
        return received.movedim(0, -3).flatten(-3, -2).narrow(-2, 0, count)

    def to_tokens(self, heads: Tensor, share: int) -> Tensor:
        """The inverse of :meth:`to_heads`, for shares of ``share`` tokens."""
        padded = F.pad(heads, (0, 0, 0, share * self.size - heads.shape[-2]))
        received = self._exchanged(torch.unflatten(padded, -2, (self.size, share)).movedim(-3, 0))
        return received.movedim(0, -4).flatten(-4, -3)

    def own_heads(self, x: Tensor) -> Tensor:
        """[..., heads, n, D] to [..., heads / size, n, D]."""
        return x.chunk(self.size, dim=-3)[self.rank]

    def _exchanged(self, parts: Tensor) -> Tensor:
        """parts [size, ...], one for each rank, to those that the ranks have for this one."""
        parts = parts.contiguous()
        received = torch.empty_like(parts)
        self._processes.alltoall_base(received, parts, [], []).wait()
        return received


def check_heads(size: int, *, heads: int, audio_heads: int) -> None:
    """Raise ConfigValidationError unless ``size`` ranks can deal out the model's heads evenly."""
    if heads % size or audio_heads % size:
        raise ConfigValidationError(
            "engine.parallelism.sp_size",
            f"expected a divisor of the model's {heads} and {audio_heads} attention heads, got {size}",
        )

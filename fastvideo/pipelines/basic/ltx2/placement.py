"""Where the parts of a model live: on the device, or in host memory between their uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fastvideo.api.schema import OffloadConfig


class Placement:
    """Parts named in ``offloaded`` visit the device only while they are used.

    Their weights stay in host memory throughout (page-locked with ``pinned``, which makes the way shorter); a visit is
    a copy that is dropped afterwards. Without an accelerator there is nothing to do.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        device: torch.device,
        *,
        offloaded: Collection[str] = (),
        pinned: bool = False,
    ) -> None:
        self.device = str(device)
        self._visitors: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name in offloaded if device.type != "cpu" else ():
            tensors = [*modules[name].parameters(), *modules[name].buffers()]
            self._visitors[name] = [(tensor, _at_home(tensor.data, pinned)) for tensor in tensors]

    @contextmanager
    def using(self, *names: str) -> Iterator[None]:
        """The named parts are on the device inside this block."""
        visiting = [pair for name in names for pair in self._visitors.get(name, ())]
        try:
            for tensor, home in visiting:
                tensor.data = home.to(self.device, non_blocking=True)
            yield
        finally:
            for tensor, home in visiting:
                tensor.data = home


def offloaded_parts(offload: OffloadConfig) -> frozenset[str]:
    """The parts that ``engine.offload`` names. The transformer moves as a whole, also when asked to by layers."""
    parts = {
        "transformer": offload.dit or offload.dit_layerwise,
        "text_encoder": offload.text_encoder,
        "connectors": offload.text_encoder,
        "video_vae": offload.vae,
        "audio_vae": offload.vae,
        "vocoder": offload.vae,
    }
    return frozenset(name for name, moves in parts.items() if moves)


def _at_home(data: Tensor, pinned: bool) -> Tensor:
    home = data.cpu()
    return home.pin_memory() if pinned else home

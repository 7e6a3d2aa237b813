"""Where the parts of a model live: on the device, or in host memory between their uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from fastvideo.api.schema import OffloadConfig

# The table of a layer's parameters or buffers, a name in it, and the tensor that belongs there.
_Place = tuple[dict[str, Any], str, Tensor]


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
        self._visitors: dict[str, list[_Place]] = {}
        for name in set(offloaded) & modules.keys() if device.type != "cpu" else ():
            self._visitors[name] = _at_home(modules[name], pinned)

    def stay(self, *names: str) -> bool:
        """Whether none of the named parts ever leaves the device."""
        return not any(name in self._visitors for name in names)

    @contextmanager
    def using(self, *names: str) -> Iterator[None]:
        """The named parts are on the device inside this block."""
        visiting = [place for name in names for place in self._visitors.get(name, ())]
        try:
            for table, key, home in visiting:
                table[key] = _like(home, home.to(self.device, non_blocking=True))
            yield
        finally:
            for table, key, home in visiting:
                table[key] = home


def offloaded_parts(offload: OffloadConfig) -> frozenset[str]:
    """The parts that ``engine.offload`` names. The transformer moves as a whole, also when asked to by layers."""
    parts = {
        "transformer": offload.dit or offload.dit_layerwise,
        "text_encoder": offload.text_encoder,
        "connectors": offload.text_encoder,
        "video_vae": offload.vae,
        "audio_vae": offload.vae,
        "vocoder": offload.vae,
        "upsampler": offload.vae,
    }
    return frozenset(name for name, moves in parts.items() if moves)


def _at_home(module: nn.Module, pinned: bool) -> list[_Place]:
    """Every tensor of the module in host memory, with the table of the layer that it belongs to."""
    places: list[_Place] = []
    for layer in module.modules():
        tables = cast("tuple[dict[str, Any], ...]", (layer._parameters, layer._buffers))
        for table in tables:
            for key, tensor in table.items():
                if tensor is not None:
                    home = tensor.detach().cpu()
                    places.append((table, key, _like(tensor, home.pin_memory() if pinned else home)))
    for table, key, home in places:
        table[key] = home
    return places


def _like(original: Tensor, data: Tensor) -> Tensor:
    return nn.Parameter(data, requires_grad=False) if isinstance(original, nn.Parameter) else data

"""The tensors of our modules under the names that diffusers has for them, so that both can share weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastvideo.models.ltx2.diffusers_names import diffusers_name


def renamed(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A part's tensors under their new names. Raises ValueError when two names fall together."""
    result = {diffusers_name(part, name): tensor for name, tensor in state.items()}
    if len(result) != len(state):
        raise ValueError(f"{len(state)} names became {len(result)}")
    return result

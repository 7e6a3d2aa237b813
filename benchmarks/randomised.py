"""The same checkpoint with a transformer that has learned nothing, to see what its training is worth."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fastvideo.models.ltx2.loader import TEXT_ENCODER_FOLDER, checkpoint_file, split_key


def with_shuffled_transformer(checkpoint: Path, folder: Path, seed: int) -> Path:
    """Writes ``checkpoint`` into ``folder`` with the values of each of the transformer's tensors in a random order.

    All statistics of each tensor stay, and so do all the other parts. Returns the new checkpoint.
    """
    source = checkpoint_file(checkpoint)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    with safe_open(source, framework="pt") as file:
        for key in sorted(file.keys()):
            tensor = file.get_tensor(key)
            place = split_key(key)
            if place is not None and place[0] == "transformer":
                tensor = tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].view(tensor.shape)
            tensors[key] = tensor
        save_file(tensors, folder / source.name, file.metadata())
    (folder / TEXT_ENCODER_FOLDER).symlink_to((source.parent / TEXT_ENCODER_FOLDER).resolve())
    return folder / source.name

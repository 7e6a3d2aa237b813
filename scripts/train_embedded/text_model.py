"""The text encoder and the connectors together, and the readers that only training has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastvideo.models.ltx2.connectors import TextConnectors, TextConnectorsConfig
from scripts.train_embedded.text_sizes import TEXT_TOKENS, TEXT_WIDTH, gemma_config, text_section
from scripts.train_embedded.text_targets import ATTRIBUTES

# The scene, and each of two things.
_GROUPS = 3


class TextModel(nn.Module):
    """Text encoder and connectors, with a reader for each of their two contexts."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        from transformers import Gemma3TextModel

        config = gemma_config(vocabulary)
        self.encoder = Gemma3TextModel(config).float()
        section = TextConnectorsConfig.from_metadata(text_section())
        self.connectors = TextConnectors(replace(section, num_text_hidden_states=config.num_hidden_layers + 1))
        with torch.no_grad():
            # Registers that are all zero would all stay the same.
            for name, registers in self.connectors.named_parameters():
                if name.endswith("learnable_registers"):
                    registers.normal_()
        # Of the picture's context and of the sound's.
        self.video_reader = AttributeReader()
        self.audio_reader = AttributeReader()

    def contexts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [B, T] each, T <= 64, padded on the left -> the contexts [B, 64, 128] of picture and sound."""
        output: Any = self.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        return through_connectors(self.connectors, torch.stack(output.hidden_states, dim=-1), mask)


class AttributeReader(nn.Module):
    """Linear readers, each of one position of a context.

    The last positions of a context are always the same registers, unless a prompt is very long. Each attribute is read
    from a register of its own; those of one thing, and those of the scene, also together from one register, so that
    a query that finds one position finds all that belongs together.

    The weights of a class are what the position is to hold where the caption says that class: with nothing else in
    it, a combination that training never shows is made of the same vectors as those that it shows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers = nn.ModuleDict({name: nn.Linear(TEXT_WIDTH, size) for name, size in ATTRIBUTES.items()})
        self.joint_readers = nn.ModuleDict({name: nn.Linear(TEXT_WIDTH, size) for name, size in ATTRIBUTES.items()})

    def forward(self, context: Tensor) -> dict[str, Tensor]:
        """context [B, 64, 128] -> logits [B, classes] by attribute, and by attribute + "_joint"."""
        own, joint = places_of(context)
        logits = {name: reader(place) for (name, reader), place in zip(self.readers.items(), own, strict=True)}
        for name, reader in self.joint_readers.items():
            logits[f"{name}_joint"] = reader(joint[group_of(name)])
        return logits

    def strayed(self, context: Tensor, targets: Tensor) -> Tensor:
        """How far the positions are from what their classes are to be, as mean 1 - cosine: a scalar.

        context [B, 64, 128], targets int64 [B, attributes]. What belongs together is to be a sum.
        """
        own, joint = places_of(context)
        strays, sums = [], [torch.zeros_like(place) for place in joint]
        for number, name in enumerate(ATTRIBUTES):
            meant = self._meant(self.readers, name, targets[:, number])
            strays.append(1 - F.cosine_similarity(own[number], meant, dim=-1).mean())
            sums[group_of(name)] = sums[group_of(name)] + self._meant(self.joint_readers, name, targets[:, number])
        strays += [
            1 - F.cosine_similarity(place, meant, dim=-1).mean() for place, meant in zip(joint, sums, strict=True)
        ]
        return torch.stack(strays).mean()

    @staticmethod
    def _meant(readers: nn.ModuleDict, name: str, classes: Tensor) -> Tensor:
        weight: Tensor = readers.get_parameter(f"{name}.weight")
        return weight[classes]


def places_of(context: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """float32 [B, 128] of each attribute's position, and of those of the scene and the two things."""
    count = len(ATTRIBUTES)
    # Unbound at once: the gradient of each position by itself would be as large as the context.
    last = context[:, -count - _GROUPS :].float().unbind(dim=1)[::-1]
    return list(last[:count]), list(last[count:])


def group_of(attribute: str) -> int:
    """0 for what is said of the scene, 1 and 2 for the two things."""
    return int(attribute[-1]) if attribute[-1].isdigit() else 0


def through_connectors(connectors: TextConnectors, hidden_states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The connectors' contexts of 64 positions for hidden states [B, T, D, L] and mask [B, T] of no more tokens."""
    padding = TEXT_TOKENS - mask.shape[1]
    contexts: tuple[Tensor, Tensor] = connectors(
        F.pad(hidden_states, (0, 0, 0, 0, padding, 0)), F.pad(mask, (padding, 0))
    )
    return contexts

"""A rank of a sequence-parallel model other than the first: a process that has the transformer alone.

Run as a module it takes the number of an inherited socket, and ends when nobody is at the other end of that.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from fastvideo.api.errors import FastVideoError
from fastvideo.api.parser import parse_config
from fastvideo.api.schema import GeneratorConfig
from fastvideo.models.ltx2.lora import LoraAdapter, LoraWeights
from fastvideo.models.ltx2.sequence_group import SequenceGroup
from fastvideo.models.ltx2.sequence_transformer import SequenceTransformer
from fastvideo.models.ltx2.transformer import LTX2Transformer, ModalityInput, Perturbation, RopeTables, TextInput
from fastvideo.pipelines.basic.ltx2.building import load_lone_transformer
from fastvideo.pipelines.basic.ltx2.sequence.link import Message, RankLink, empty

logger = logging.getLogger(__name__)


class SequenceRank:
    """Does with its share of the tokens what the first rank says."""

    def __init__(self, modules: dict[str, nn.Module], group: SequenceGroup) -> None:
        """``modules`` as LoRA files name them: the transformer, and whatever else they may touch."""
        transformer = modules["transformer"]
        assert isinstance(transformer, LTX2Transformer)
        self._share = SequenceTransformer(transformer, group)
        self._group = group
        self._modules = modules
        self._weights = LoraWeights(modules)
        self._adapters: dict[str, LoraAdapter] = {}
        self._positions: tuple[Tensor, Tensor] | None = None
        self._rope: RopeTables | None = None
        self._texts: list[TextInput] = []

    @torch.inference_mode()
    def obey(self, message: Message) -> None:
        """Do one thing together with the other ranks. Raises RuntimeError when one of them is gone."""
        tensors = [self._group.shared(empty(found, self._group.device)) for found in message["tensors"]]
        match message["do"]:
            case "positions":
                self._positions = (tensors[0], tensors[1])
                self._rope = self._share.rope_tables(*self._positions)
                self._texts.clear()
            case "text":
                self._texts.append(self._share.text_input(*tensors, keep_keys=message["keep_keys"]))
            case "velocity":
                self._velocity(message, tensors)
            case "merge":
                self._weights.merge([(self._adapter(path), strength) for path, strength in message["adapters"]])
            case other:
                raise ValueError(f"expected positions, text, velocity or merge, got {other!r}")

    def _velocity(self, message: Message, tensors: list[Tensor]) -> None:
        assert self._positions is not None
        assert self._rope is not None
        video, audio = (
            ModalityInput(latents, timesteps, sigma, positions, None)
            for (latents, timesteps, sigma), positions in zip((tensors[:3], tensors[3:]), self._positions, strict=True)
        )
        perturbation = Perturbation(frozenset(message["value_blocks"]), message["isolated"])
        self._share(video, audio, rope=self._rope, text=self._texts[message["text"]], perturbation=perturbation)

    def _adapter(self, path: str) -> LoraAdapter:
        """The file's updates of the transformer; those of other parts are the first rank's affair."""
        if path not in self._adapters:
            whole = LoraAdapter.load(Path(path), self._modules)
            own = {layer: update for layer, update in whole.layers.items() if layer.part == "transformer"}
            self._adapters[path] = dataclasses.replace(whole, layers=own)
        return self._adapters[path]


def serve(link: RankLink) -> None:
    """Load what the first message names, meet the other ranks, and obey until the other end is gone."""
    start = link.hear()
    if start is None:
        return
    config = parse_config(GeneratorConfig, start["config"])
    device = torch.device("cuda", start["rank"]) if torch.cuda.is_available() else torch.device("cpu")
    try:
        modules = load_lone_transformer(Path(start["checkpoint"]), config, device)
    except (FastVideoError, OSError) as error:
        link.tell({"failed": str(error)})
        return
    link.tell({"ready": True})
    group = SequenceGroup.joined(
        Path(start["meeting"]), start["rank"], start["size"], device=device, timeout_s=start["timeout_s"]
    )
    rank = SequenceRank(modules, group)
    while (message := link.hear()) is not None:
        rank.obey(message)


def main() -> None:
    # A signal at the terminal is for the first rank, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    code = 0
    try:
        serve(RankLink(socket.socket(fileno=int(sys.argv[1]))))
    except Exception:
        logger.exception("a rank of the sequence-parallel model failed")
        code = 1
    # Without the clean-up, which waits for exchanges that nobody will answer any more.
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    main()

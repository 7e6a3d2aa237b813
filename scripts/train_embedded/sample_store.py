"""The encoded samples that the transformer learns from, in batches of one kind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fastvideo.eval.world.lexicon import KINDS, MOTIONS
from fastvideo.eval.world.scene import Kind, Motion
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan
from scripts.train_embedded.latents import SHARD_SAMPLES, STREAMS, read_pictures, read_sounds, shard_path
from scripts.train_embedded.samples import CAPTIONS, plans

# How many samples a run begins with, and after how many steps it has all of them: shards may still be in the making.
_FIRST_SHARDS = 4
# Of first segments and of later ones, which are most of a stream, and harder: what is there has to be recognised first.
_SHARES = (0.35, 0.65)
# What takes longest to learn, by the words for it, and how much more often such samples are drawn: outlines with many
# corners, and those that turn.
_HARD = (
    KINDS[Kind.STAR],
    tuple(form for verb in MOTIONS[Motion.SPIN] for form in (verb.infinitive(), verb.finite(), verb.gerund())),
)
_HARD_WEIGHT = 2.0


@dataclass(frozen=True)
class Batch:
    """Clean tokens of B samples of one kind, video [B, N, C] and audio [B, M, C'], and their captions."""

    plan: SegmentPlan
    video: Tensor
    audio: Tensor
    captions: list[str]

    def part(self, first: int, last: int) -> Batch:
        return replace(
            self, video=self.video[first:last], audio=self.audio[first:last], captions=self.captions[first:last]
        )


class Samples:
    """The shards of a folder, first segments and later ones apart, of which more are taken in as training goes on."""

    def __init__(self, folder: Path, count: int, silent_channels: int | None = None) -> None:
        """``silent_channels`` reads no sound at all, and gives zeros with that many channels instead."""
        self._folder = folder
        self._silent_channels = silent_channels
        self._shards = -(-count // SHARD_SAMPLES)
        self._read = 0
        self._kinds: tuple[list[tuple[Tensor, Tensor, list[str]]], ...] = ([], [])
        self._weights: tuple[list[float], ...] = ([], [])
        self._plans = plans(2)

    def batch(self, step: int, share: float, size: int, seed: int) -> Batch:
        """The batch of a step, of samples among the first ``share`` (0..1) of all. Waits for missing shards."""
        self._take_in(min(self._shards, _FIRST_SHARDS + int(share * self._shards)))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        shares = torch.tensor(_SHARES) * torch.tensor([bool(kind) for kind in self._kinds])
        kind = int(torch.multinomial(shares, 1, generator=generator))
        chosen = torch.tensor(self._weights[kind]).multinomial(size, replacement=True, generator=generator).tolist()
        wording = torch.randint(CAPTIONS, (size,), generator=generator).tolist()
        rows = [self._kinds[kind][place] for place in chosen]
        return Batch(
            self._plans[kind],
            torch.stack([video for video, _, _ in rows]).float(),
            torch.stack([audio for _, audio, _ in rows]).float(),
            [captions[which] for (_, _, captions), which in zip(rows, wording, strict=True)],
        )

    def _take_in(self, shards: int) -> None:
        while self._read < shards:
            silent = self._silent_channels
            for stream in STREAMS if silent is None else STREAMS[:1]:
                _wait_for(shard_path(self._folder, stream, self._read))
            video, captions, places = read_pictures(self._folder, self._read)
            kinds = [min(place, 1) for place in places]
            if silent is None:
                audio = read_sounds(self._folder, self._read)
            else:
                audio = [torch.zeros(self._plans[kind].audio_latents, silent) for kind in kinds]
            for kind, *row in zip(kinds, video, audio, captions, strict=True):
                self._kinds[kind].append(tuple(row))
                self._weights[kind].append(_weight(row[-1]))
            self._read += 1


def _weight(captions: Sequence[str]) -> float:
    text = " ".join(captions).lower()
    return 1 + _HARD_WEIGHT * sum(any(word in text for word in words) for words in _HARD)


def _wait_for(path: Path) -> None:
    if not path.exists():
        print(f"flow: waits for {path} of the latents stage", flush=True)
    while not path.exists():
        time.sleep(2)

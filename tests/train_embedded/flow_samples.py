"""A transformer of a few thousand weights, and samples for it whose answers are known."""

import json
from pathlib import Path

import torch
from torch import Tensor

from scripts.train_embedded.latents import SHARD_SAMPLES, shard_path
from scripts.train_embedded.sample_store import Batch
from scripts.train_embedded.samples import plans
from scripts.train_embedded.sizes import transformer_section
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.text_sizes import text_section

VIDEO_CHANNELS, AUDIO_CHANNELS = 4, 8
SECTION = transformer_section(
    layers=1,
    heads=2,
    head_dim=16,
    audio_heads=1,
    audio_head_dim=16,
    latent_channels=VIDEO_CHANNELS,
    audio_channels=AUDIO_CHANNELS,
    text=text_section(),
)


def batch_of(place: int, size: int = 2) -> Batch:
    plan = plans(2)[place]
    generator = torch.Generator().manual_seed(place)
    return Batch(
        plan,
        torch.randn((size, 8 * 64, VIDEO_CHANNELS), generator=generator),
        torch.randn((size, plan.audio_latents, AUDIO_CHANNELS), generator=generator),
        ["a red ball"] * size,
    )


def contexts(size: int = 2) -> tuple[Tensor, Tensor]:
    return torch.zeros((size, 64, 128)), torch.zeros((size, 64, 128))


def write_shards(folder: Path, count: int) -> None:
    """Shards whose clips have one of two colours, as their captions say."""
    generator = torch.Generator().manual_seed(0)
    known = plans(2)
    for number in range(count):
        places = [place % 2 for place in range(SHARD_SAMPLES)]
        signs = torch.randint(2, (SHARD_SAMPLES,), generator=generator) * 2 - 1
        video = signs[:, None, None] * torch.ones(SHARD_SAMPLES, 8 * 64, VIDEO_CHANNELS)
        audio = {
            str(place): (float(signs[place]) * torch.ones(known[places[place]].audio_latents, AUDIO_CHANNELS)).half()
            for place in range(SHARD_SAMPLES)
        }
        captions = [["white" if sign > 0 else "black"] * 8 for sign in signs.tolist()]
        metadata = {"captions": json.dumps(captions), "places": json.dumps(places), "seed": "0"}
        write_tensors(shard_path(folder, "video", number), {"video": video.half()}, metadata)
        write_tensors(shard_path(folder, "audio", number), audio, {"seed": "0"})

"""Stage 4: encodes samples of the world with the trained VAEs, in shards, for the transformer to learn from.

python -m scripts.train_embedded.latents --folder outputs/embedded

Needs the video and the audio VAE. Shards that are there are kept, so it goes on where it stopped; several processes
may share the work (--part 0/2 and --part 1/2).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from fastvideo.models.ltx2.audio_vae import AudioVAE
from fastvideo.models.ltx2.mel import LogMelSpectrogram
from fastvideo.models.ltx2.video_vae import VideoVAE
from fastvideo.pipelines.basic.ltx2.stages.tokens import audio_to_tokens, video_to_tokens
from scripts.train_embedded.audio_vae import load_audio_vae
from scripts.train_embedded.samples import Sample, plans, sample
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.training import native_dtype
from scripts.train_embedded.video_vae import load_video_vae

SHARD_SAMPLES = 64
SIZE_PX = 256
STREAMS = ("video", "audio")
# The sound of a sample needs no picture, but a sample has one.
_SMALLEST_PX = 8


def shard_path(folder: Path, stream: str, number: int) -> Path:
    return folder / "latents" / stream / f"{number:05d}.safetensors"


@torch.no_grad()
def encode_pictures(samples: Sequence[Sample], vae: VideoVAE) -> Tensor:
    """Tokens of the samples' frames, float16 [N, 512, C].

    What a later segment is given was decoded and encoded once more before the transformer sees it. Every second one
    is given here as it will be then, the others as they should be.
    """
    tokens = []
    for place, one in enumerate(samples):
        latents = vae.encode(_pixels(one.frames, vae))
        if one.before is not None and place % 2:
            decoded = vae.decode(vae.encode(_pixels(one.before, vae))).clamp(-1, 1)
            given = vae.encode(decoded[:, :, -one.plan.overlap_frames :])
            latents[:, :, : given.shape[2]] = given
        tokens.append(video_to_tokens(latents)[0].half().cpu())
    return torch.stack(tokens)


def _pixels(frames: NDArray[np.uint8], vae: VideoVAE) -> Tensor:
    pixels = torch.from_numpy(frames).to(next(vae.parameters())).div_(127.5).sub_(1)
    return pixels.permute(3, 0, 1, 2).unsqueeze(0)


@torch.no_grad()
def encode_sounds(samples: Sequence[Sample], vae: AudioVAE) -> list[Tensor]:
    """Tokens of each sample's sound, float16 [M, C'], as many as its plan says."""
    weights = next(vae.parameters())
    spectrogram = LogMelSpectrogram(vae.config.mel).to(weights.device)
    tokens = []
    for one in samples:
        mel = spectrogram(torch.from_numpy(one.samples).to(weights.device).unsqueeze(0))[:, :, : one.heard_mel_frames]
        tokens.append(audio_to_tokens(vae.encode(mel))[0, -one.plan.audio_latents :].half().cpu())
    return tokens


def write_shard(folder: Path, number: int, seed: int, vae: VideoVAE | AudioVAE) -> None:
    """One stream of the samples ``number * SHARD_SAMPLES`` and on of the seed."""
    first = number * SHARD_SAMPLES
    if isinstance(vae, AudioVAE):
        samples = [sample(seed, first + place, _SMALLEST_PX) for place in range(SHARD_SAMPLES)]
        tensors = {str(place): tokens for place, tokens in enumerate(encode_sounds(samples, vae))}
        write_tensors(shard_path(folder, "audio", number), tensors, {"seed": str(seed)})
        return
    samples = [sample(seed, first + place, SIZE_PX) for place in range(SHARD_SAMPLES)]
    known = plans(8)
    metadata = {
        "captions": json.dumps([one.captions for one in samples]),
        "places": json.dumps([known.index(one.plan) for one in samples]),
        "seed": str(seed),
    }
    write_tensors(shard_path(folder, "video", number), {"video": encode_pictures(samples, vae)}, metadata)


def read_pictures(folder: Path, number: int) -> tuple[Tensor, list[list[str]], list[int]]:
    """Video tokens [64, N, C] of a shard, each sample's captions and its place in its stream."""
    with safe_open(shard_path(folder, "video", number), framework="pt") as file:
        metadata = file.metadata()
        return file.get_tensor("video"), json.loads(metadata["captions"]), json.loads(metadata["places"])


def read_sounds(folder: Path, number: int) -> list[Tensor]:
    """Audio tokens [M, C'] of a shard's samples. Raises ValueError where they are not of the pictures' stories."""
    with (
        safe_open(shard_path(folder, "audio", number), framework="pt") as file,
        safe_open(shard_path(folder, "video", number), framework="pt") as pictures,
    ):
        seed, other = file.metadata()["seed"], pictures.metadata()["seed"]
        if seed != other:
            raise ValueError(
                f"shard {number} has pictures of seed {other} and sound of seed {seed}; encode both with one seed"
            )
        return [file.get_tensor(str(place)) for place in range(SHARD_SAMPLES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with the trained VAEs; gets a folder of shards")
    parser.add_argument("--samples", type=int, default=8192, help="samples in all (default 8192)")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=STREAMS, help="what to encode (default both)")
    parser.add_argument("--part", default="0/1", help="which share of the shards, as K/N (default 0/1)")
    parser.add_argument("--seed", type=int, default=1, help="of the stories (default 1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    device = torch.device(arguments.device)
    vaes: dict[str, VideoVAE | AudioVAE] = {}
    if "video" in arguments.streams:
        vaes["video"] = load_video_vae(arguments.folder).to(device, native_dtype(device))
    if "audio" in arguments.streams:
        vaes["audio"] = load_audio_vae(arguments.folder).to(device)
    numbers = range(part, -(-arguments.samples // SHARD_SAMPLES), parts)
    missing = [
        (number, stream)
        for number in numbers
        for stream in vaes
        if not shard_path(arguments.folder, stream, number).exists()
    ]
    began_s = time.monotonic()
    for done, (number, stream) in enumerate(missing, 1):
        write_shard(arguments.folder, number, arguments.seed, vaes[stream])
        left_s = (time.monotonic() - began_s) / done * (len(missing) - done)
        print(f"latents: {done}/{len(missing)} shards of {SHARD_SAMPLES}, {stream}  {left_s:.0f} s left", flush=True)


if __name__ == "__main__":
    main()

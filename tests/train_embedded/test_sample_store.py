"""Batches of encoded samples."""

import json
from pathlib import Path

import pytest
import torch

from scripts.train_embedded.latents import SHARD_SAMPLES, shard_path
from scripts.train_embedded.sample_store import Samples
from scripts.train_embedded.samples import plans
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.velocity_loss import velocity_losses
from tests.train_embedded.flow_samples import AUDIO_CHANNELS, VIDEO_CHANNELS, contexts, write_shards


def test_what_takes_longest_to_learn_is_drawn_more_often(tmp_path: Path) -> None:
    known = plans(2)
    captions = ["a star spins", "a white star", "the ball turns green", "a ball"] * (SHARD_SAMPLES // 4)
    video = torch.arange(SHARD_SAMPLES).remainder(4)[:, None, None].expand(-1, 8 * 64, VIDEO_CHANNELS)
    metadata = {
        "captions": json.dumps([[caption] * 8 for caption in captions]),
        "places": json.dumps([0] * SHARD_SAMPLES),
        "seed": "0",
    }
    write_tensors(shard_path(tmp_path, "video", 0), {"video": video.half()}, metadata)
    sound = torch.zeros(known[0].audio_latents, AUDIO_CHANNELS)
    audio = {str(place): sound.clone() for place in range(SHARD_SAMPLES)}
    write_tensors(shard_path(tmp_path, "audio", 0), audio, {"seed": "0"})
    samples = Samples(tmp_path, SHARD_SAMPLES)
    drawn = torch.cat([samples.batch(step, 1.0, 50, seed=0).video[:, 0, 0] for step in range(40)])
    shares = drawn.long().bincount(minlength=4) / len(drawn)
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.1, 0.1], abs=0.04)


def test_batches_are_of_one_kind_and_depend_on_the_step_alone(tmp_path: Path) -> None:
    write_shards(tmp_path, 2)
    samples = Samples(tmp_path, 2 * SHARD_SAMPLES)
    batches = [samples.batch(step, 1.0, 4, seed=0) for step in range(20)]
    again = Samples(tmp_path, 2 * SHARD_SAMPLES).batch(7, 1.0, 4, seed=0)
    assert torch.equal(batches[7].video, again.video)
    assert batches[7].captions == again.captions
    assert {batch.plan.overlap_frames for batch in batches} == {0, 9}
    for batch in batches:
        assert batch.audio.shape[1] == batch.plan.audio_latents
        for sign, caption in zip(batch.video[:, 0, 0], batch.captions, strict=True):
            assert caption == ("white" if sign > 0 else "black")


def test_pictures_can_be_learnt_before_there_is_sound(tmp_path: Path) -> None:
    write_shards(tmp_path, 1)
    shard_path(tmp_path, "audio", 0).unlink()
    batch = Samples(tmp_path, SHARD_SAMPLES, AUDIO_CHANNELS).batch(0, 1.0, 4, seed=0)
    assert batch.audio.shape == (4, batch.plan.audio_latents, AUDIO_CHANNELS)
    assert not batch.audio.any()
    losses = velocity_losses(
        lambda video, audio: (torch.zeros_like(video.latents), torch.zeros_like(audio.latents)),
        batch,
        contexts(4),
        torch.Generator(),
        audio_weight=0,
    )
    assert torch.equal(losses["loss"], losses["video"])

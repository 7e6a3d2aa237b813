"""Stretches of sound are functions of a seed and a step, and their mels and samples tell of the same time."""

import pytest
import torch

from fastvideo.models.ltx2.mel import LogMelSpectrogram, MelConfig
from scripts.train_embedded.sounds import MEL_RATE_HZ, WAVE_HOP, Sounds
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story

SOUNDS = Sounds(0, 6)


def test_a_step_gives_the_same_stretches_again_and_other_steps_and_seeds_others() -> None:
    stretches = SOUNDS.batch(3, 6, 21)
    assert stretches.mel.shape == stretches.cut_mel.shape == (6, 2, 21, 64)
    assert stretches.wave.shape == (6, 2, 21 * WAVE_HOP)
    assert torch.equal(stretches.wave, Sounds(0, 6).batch(3, 6, 21).wave)
    for other in (SOUNDS.batch(4, 6, 21), Sounds(1, 6).batch(3, 6, 21)):
        assert not torch.equal(stretches.wave, other.wave)


def test_a_mel_frame_stands_for_the_240_samples_from_its_middle_on() -> None:
    stretches = Sounds(0, 24).batch(0, 32, 41)
    level = stretches.wave.unflatten(2, (41, WAVE_HOP)).square().mean(dim=3).sqrt().log()
    loudest = stretches.mel.exp().square().sum(dim=3).sqrt().log()
    shape = [(values - values.mean(dim=2, keepdim=True))[:, :, 2:-2] for values in (level, loudest)]
    steps = [torch.stack([values[:, :, 1 + shift : 30 + shift] for shift in range(-1, 2)]) for values in shape]
    apart = (steps[0][1] - steps[1]).square().mean(dim=(1, 2, 3))
    # A window is as long as several frames, so neighbours fit too, but no better.
    assert int(apart.argmin()) == 1


def test_only_the_mirrored_edges_of_a_cut_stretch_differ() -> None:
    stretches = SOUNDS.batch(1, 12, 21)
    apart = (stretches.mel - stretches.cut_mel).abs().amax(dim=(0, 1, 3))
    assert apart[4:].max() < 1e-3
    assert apart[0] > 1


def test_the_mel_is_that_of_the_story_s_samples() -> None:
    sounds = Sounds(5, 1)
    segments = [shot.segment for shot in story(5, 0, num_segments=2)]
    whole = torch.cat([torch.from_numpy(sound_of(segment, MEL_RATE_HZ)) for segment in segments], dim=1)
    mel = LogMelSpectrogram(MelConfig())(whole[None])[0]
    loud = mel.clamp(min=-4)
    for step in range(3):
        found = sounds.batch(step, 1, 31).mel[0].clamp(min=-4)
        offsets = range(4, mel.shape[1] - 35)
        nearest = min(float((loud[:, first : first + 31] - found).abs().max()) for first in offsets)
        begins = float((loud[:, 4:31] - found[:, 4:]).abs().max())
        assert min(nearest, begins) < 0.1


@pytest.mark.parametrize("batch", [2, 8])
def test_a_batch_may_be_smaller_or_larger_than_the_number_of_stories(batch: int) -> None:
    assert Sounds(2, 4).batch(0, batch, 9).mel.shape[0] == batch

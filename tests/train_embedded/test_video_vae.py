"""The first stage learns within a few steps, resumes, and writes a part that the package's own VAE loads."""

from pathlib import Path

import pytest
import torch

from fastvideo.models.ltx2.video_vae import VideoVAE, VideoVAEConfig
from scripts.train_embedded.clips import ClipShape, validation_batch
from scripts.train_embedded.initial_weights import initialise
from scripts.train_embedded.sizes import vae_section
from scripts.train_embedded.training import Plan
from scripts.train_embedded.video_vae import (
    load_video_vae,
    reconstruction_losses,
    train_decoder,
    train_video_vae,
    validate,
)

SHAPE = ClipShape(batch=4, num_frames=5, picture_px=64, crop_px=32)
# One halving of space and time after patches of 4 px: a few seconds show that it learns.
SECTION = vae_section(
    latent_channels=16, patch_size=4, steps=("compress_all",), encoder_widths=(16, 16), decoder_widths=(16, 16)
)
CPU = torch.device("cpu")


def test_the_embedded_sizes_keep_the_family_s_compression() -> None:
    config = VideoVAEConfig.from_metadata(vae_section())
    assert (config.temporal_scale, config.spatial_scale) == (8, 32)


def test_a_few_steps_improve_the_picture_and_the_part_that_is_written_is_the_one_that_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan("video_vae", 100, 1e-2, warmup_steps=5, report_every_steps=10)
    fresh = VideoVAE(VideoVAEConfig.from_metadata(SECTION))
    initialise(fresh, plan.seed)
    before = validate(fresh, 0, SHAPE)
    trained = train_video_vae(SECTION, SHAPE, plan, tmp_path, CPU)
    after = validate(trained, 0, SHAPE)
    assert after > before + 2
    assert f"on clips it has not seen {after:.2f} dB" in capsys.readouterr().out
    loaded = load_video_vae(tmp_path)
    pixels = validation_batch(0, SHAPE)
    with torch.no_grad():
        assert torch.equal(loaded.encode(pixels), trained.encode(pixels))


def test_the_decoder_goes_on_alone_and_leaves_the_latents_as_they_are(tmp_path: Path) -> None:
    before = train_video_vae(SECTION, SHAPE, Plan("video_vae", 20, 1e-2, warmup_steps=2), tmp_path, CPU)
    after = train_decoder(SHAPE, Plan("video_decoder", 60, 5e-3, seed=1, warmup_steps=5), tmp_path, CPU)
    pixels = validation_batch(0, SHAPE)
    with torch.no_grad():
        assert torch.equal(before.encode(pixels), after.encode(pixels))
        assert torch.equal(load_video_vae(tmp_path).decode(after.encode(pixels)), after.decode(after.encode(pixels)))
    assert validate(after, 0, SHAPE) > validate(before, 0, SHAPE) + 0.5


def test_a_run_can_begin_with_trained_weights(tmp_path: Path) -> None:
    before = train_video_vae(SECTION, SHAPE, Plan("video_vae", 40, 1e-2, warmup_steps=2), tmp_path / "first", CPU)
    plan = Plan("video_vae", 1, 1e-9, seed=1)
    after = train_video_vae(SECTION, SHAPE, plan, tmp_path / "second", CPU, start_from=tmp_path / "first")
    assert validate(after, 0, SHAPE) == pytest.approx(validate(before, 0, SHAPE), abs=1)


def test_latents_are_normalised_over_whole_pictures(tmp_path: Path) -> None:
    vae = train_video_vae(SECTION, SHAPE, Plan("video_vae", 4, 1e-3), tmp_path, CPU)
    with torch.no_grad():
        latents = vae.encode(validation_batch(5, ClipShape(16, 5, 64, 64)))
    assert float(latents.mean().abs()) < 0.3
    assert float(latents.std()) == pytest.approx(1, abs=0.4)


def test_mistakes_at_edges_cost_more_than_on_flat_colour() -> None:
    vae = VideoVAE(VideoVAEConfig.from_metadata(SECTION))
    noise = torch.zeros(1, 16, 5, 4, 4)
    flat, striped = torch.full((1, 3, 9, 32, 32), 0.5), torch.full((1, 3, 9, 32, 32), 0.5)
    striped[..., ::2] *= -1
    with torch.no_grad():
        for parameter in vae.decoder.conv_out.parameters():
            parameter.zero_()
        on_flat, on_edges = (float(reconstruction_losses(vae, pixels, noise)["loss"]) for pixels in (flat, striped))
    # The picture is blank, so both are wrong by a half everywhere.
    assert on_flat == pytest.approx(0.75, abs=0.05)
    assert on_edges == pytest.approx(5 * 0.75, abs=0.05)

"""A fresh VAE shows what it is given in plain patches, the same for the same seed."""

import torch

from fastvideo.models.ltx2.video_vae import VideoVAE, VideoVAEConfig
from scripts.train_embedded.initial_weights import initialise
from scripts.train_embedded.sizes import vae_section


def fresh(seed: int) -> VideoVAE:
    vae = VideoVAE(
        VideoVAEConfig.from_metadata(vae_section(encoder_widths=(8, 8, 16, 16), decoder_widths=(8, 8, 16, 16)))
    )
    initialise(vae, seed)
    return vae.eval()


def test_a_seed_gives_the_same_weights_again() -> None:
    first, again, other = (fresh(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["decoder.conv_out.conv.weight"], other["decoder.conv_out.conv.weight"])


def test_every_patch_is_of_one_colour_and_patches_follow_the_latents() -> None:
    vae = fresh(0)
    latents = torch.randn((2, 32, 2, 2, 2), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pixels = vae.decode(latents)
    patches = pixels.unfold(3, 8, 8).unfold(4, 8, 8)
    assert float(patches.std(dim=(-1, -2)).max()) < 1e-5
    assert float((patches[0] - patches[1]).std()) > 0.1


def test_residual_blocks_begin_as_identities() -> None:
    vae = fresh(0)
    x = torch.randn((1, 8, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(vae.encoder.down_blocks[0](x, True), x)


def test_colours_survive_a_fresh_encoder() -> None:
    vae = fresh(0)
    red, blue = (
        torch.tensor(colour).view(1, 3, 1, 1, 1).expand(1, 3, 9, 64, 64) for colour in ((1.0, -1, -1), (-1.0, -1, 1))
    )
    with torch.no_grad():
        apart = (vae.encode(red) - vae.encode(blue)).square().mean().sqrt()
        size = vae.encode(red).square().mean().sqrt()
    assert float(apart) > 0.3 * float(size)

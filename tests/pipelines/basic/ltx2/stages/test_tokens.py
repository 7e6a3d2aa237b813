import torch

from fastvideo.pipelines.basic.ltx2.stages.tokens import (
    audio_to_tokens,
    tokens_to_audio,
    tokens_to_video,
    video_to_tokens,
)


def test_video_tokens_run_through_width_then_height_then_time() -> None:
    latents = torch.arange(2 * 3 * 2 * 4 * 5).reshape(2, 3, 2, 4, 5)
    tokens = video_to_tokens(latents)
    assert tokens.shape == (2, 40, 3)
    assert torch.equal(tokens[1, 1 * 20 + 2 * 5 + 3], latents[1, :, 1, 2, 3])
    assert torch.equal(tokens_to_video(tokens, 2, 4, 5), latents)


def test_audio_tokens_hold_the_channels_with_their_bins() -> None:
    latents = torch.arange(2 * 8 * 5 * 16).reshape(2, 8, 5, 16)
    tokens = audio_to_tokens(latents)
    assert tokens.shape == (2, 5, 128)
    assert torch.equal(tokens[1, 3, 2 * 16 + 7], latents[1, 2, 3, 7])
    assert torch.equal(tokens_to_audio(tokens, 8), latents)

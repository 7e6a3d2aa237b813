from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from fastvideo.models.ltx2.tiny_metadata import tiny_metadata


def test_the_same_seed_gives_the_same_file_and_another_one_does_not(tmp_path: Path) -> None:
    files = [write_tiny_checkpoint(tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    contents = [file.read_bytes() for file in files]
    assert contents[0] == contents[1] != contents[2]
    encoders = [(file.parent / "text_encoder" / "model.safetensors").read_bytes() for file in files]
    assert encoders[0] == encoders[1] != encoders[2]


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_the_layout_is_the_official_one(version: str, tmp_path: Path) -> None:
    file = write_tiny_checkpoint(tmp_path, version=version)
    with safe_open(str(file), framework="pt") as tensors:
        assert tensors.metadata()["model_version"] == version
    keys = set(load_file(str(file)))
    assert {key.split(".")[0] for key in keys} == {"model", "text_embedding_projection", "vae", "audio_vae", "vocoder"}
    shared = {
        "model.diffusion_model.transformer_blocks.0.attn1.to_out.0.weight",
        "model.diffusion_model.video_embeddings_connector.transformer_1d_blocks.0.attn1.to_q.weight",
        "vae.encoder.conv_in.conv.weight",
        "vae.per_channel_statistics.std-of-means",
        "audio_vae.decoder.conv_out.conv.weight",
    }
    own = {
        "2.0": {"text_embedding_projection.aggregate_embed.weight", "vocoder.conv_pre.weight"},
        "2.3": {
            "text_embedding_projection.video_aggregate_embed.bias",
            "text_embedding_projection.audio_aggregate_embed.weight",
            "model.diffusion_model.prompt_adaln_single.linear.weight",
            "model.diffusion_model.transformer_blocks.1.attn1.to_gate_logits.weight",
            "vocoder.vocoder.conv_pre.weight",
            "vocoder.bwe_generator.conv_pre.weight",
            "vocoder.mel_stft.stft_fn.forward_basis",
        },
    }[version]
    assert shared | own <= keys


def test_other_versions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2\.5"):
        tiny_metadata("2.5")

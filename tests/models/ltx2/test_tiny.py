from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fastvideo.models.ltx2.tiny import CHECKPOINT_NAME, write_tiny_checkpoint
from fastvideo.models.ltx2.tiny_metadata import tiny_metadata


def content(file: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Metadata and tensors; the order of metadata in a file is random."""
    with safe_open(str(file), framework="pt") as tensors:
        metadata = dict(tensors.metadata())
    flat = {name: tensor.contiguous().flatten().view(torch.uint8) for name, tensor in load_file(str(file)).items()}
    return metadata, {name: bytes(tensor.numpy()) for name, tensor in flat.items()}


@pytest.mark.parametrize("name", [CHECKPOINT_NAME, "text_encoder/model.safetensors"])
def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(name: str, tmp_path: Path) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_tiny_checkpoint(tmp_path / folder, seed=seed)
    first, again, other = (content(tmp_path / folder / name) for folder in "abc")
    assert first[0] == again[0] == other[0]
    assert first[1].keys() == other[1].keys()
    assert [key for key, data in again[1].items() if data != first[1][key]] == []
    assert any(data != first[1][key] for key, data in other[1].items())


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

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.loader import checkpoint_file, load_components, official_key, split_key
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint

Change = Callable[[dict[str, Tensor], dict[str, str]], None]


@pytest.fixture(scope="module", params=["2.0", "2.3"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), version=request.param)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("original"))


def read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(str(file), framework="pt") as tensors:
        return {key: tensors.get_tensor(key) for key in tensors.keys()}, dict(tensors.metadata())  # noqa: SIM118


def rewritten(original: Path, folder: Path, change: Change) -> Path:
    """A copy of the checkpoint with changed tensors or metadata, and the text encoder beside it."""
    tensors, metadata = read(original)
    change(tensors, metadata)
    file = folder / "changed.safetensors"
    save_file(tensors, str(file), metadata=metadata)
    shutil.copytree(original.parent / "text_encoder", folder / "text_encoder")
    return file


def test_every_tensor_of_the_file_arrives_in_its_part(checkpoint: Path) -> None:
    components = load_components(checkpoint)
    tensors, _ = read(checkpoint)
    loaded = {
        official_key(part, name): tensor
        for part, module in components.modules().items()
        if part != "text_encoder"
        for name, tensor in module.state_dict().items()
    }
    assert set(loaded) == set(tensors)
    assert all(torch.equal(loaded[key], tensor.float()) for key, tensor in tensors.items())


def test_parts_are_ready_to_run(checkpoint: Path) -> None:
    components = load_components(checkpoint)
    for module in components.modules().values():
        assert not module.training
        assert all(tensor.device.type == "cpu" for tensor in [*module.parameters(), *module.buffers()])
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_types_are_per_part_and_the_vocoder_stays_in_float32(checkpoint: Path) -> None:
    components = load_components(checkpoint, dtype=torch.bfloat16, dtypes={"video_vae": torch.float16})
    types = {name: next(module.parameters()).dtype for name, module in components.modules().items()}
    assert types["transformer"] == types["text_encoder"] == torch.bfloat16
    assert types["video_vae"] == torch.float16
    assert types["vocoder"] == torch.float32


def test_names_split_and_join_again(checkpoint: Path) -> None:
    for key in read(checkpoint)[0]:
        place = split_key(key)
        assert place is not None
        assert official_key(*place) == key


def test_the_vocoders_prefix_is_stripped_once() -> None:
    assert split_key("vocoder.vocoder.conv_pre.weight") == ("vocoder", "vocoder.conv_pre.weight")


@pytest.mark.parametrize(
    "key",
    [
        "model.diffusion_model.proj_out.weight",
        "model.diffusion_model.audio_embeddings_connector.learnable_registers",
        "text_embedding_projection.aggregate_embed.weight",
        "vae.per_channel_statistics.mean-of-means",
        "audio_vae.decoder.conv_in.conv.weight",
        "vocoder.conv_post.bias",
    ],
)
def test_a_missing_tensor_is_named(original: Path, tmp_path: Path, key: str) -> None:
    file = rewritten(original, tmp_path, lambda tensors, _: tensors.__delitem__(key))
    with pytest.raises(CheckpointError, match=key):
        load_components(file)


@pytest.mark.parametrize(
    "key", ["model.diffusion_model.extra.weight", "vae.decoder.extra", "extra", "vocoder.vocoder.x"]
)
def test_an_unknown_tensor_is_named(original: Path, tmp_path: Path, key: str) -> None:
    file = rewritten(original, tmp_path, lambda tensors, _: tensors.update({key: torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=f"unknown tensors: {key}"):
        load_components(file)


def test_statistics_that_nothing_uses_are_left_in_the_file(original: Path, tmp_path: Path) -> None:
    extra = {"vae.per_channel_statistics.mean-of-stds": torch.zeros(128)}
    load_components(rewritten(original, tmp_path, lambda tensors, _: tensors.update(extra)))


def test_a_tensor_of_another_shape_is_named_with_both_shapes(original: Path, tmp_path: Path) -> None:
    key = "model.diffusion_model.proj_out.bias"
    file = rewritten(original, tmp_path, lambda tensors, _: tensors.update({key: torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"proj_out\.bias has shape \[3\], expected \[128\]"):
        load_components(file)


QUANTISED = ("model.diffusion_model.transformer_blocks.0.attn1.to_q", "model.diffusion_model.proj_out")


def quantised(tensors: dict[str, Tensor], layers: tuple[str, ...] = QUANTISED) -> None:
    """Store the layers as the official fp8 files do."""
    for layer in layers:
        weight = tensors[f"{layer}.weight"].float()
        scale = weight.abs().max() / 448
        tensors[f"{layer}.weight"] = (weight / scale).to(torch.float8_e4m3fn)
        tensors[f"{layer}.weight_scale"] = scale
        tensors[f"{layer}.input_scale"] = torch.tensor(0.5)


def test_weights_in_fp8_are_dequantised_wherever_the_file_has_them(original: Path, tmp_path: Path) -> None:
    file = rewritten(original, tmp_path, lambda tensors, _: quantised(tensors))
    stored, _ = read(file)
    exact, quantised_model = load_components(original).transformer, load_components(file).transformer
    for name, tensor in quantised_model.state_dict().items():
        key = official_key("transformer", name)
        layer = key.removesuffix(".weight")
        if layer in QUANTISED:
            expected = stored[key].to(torch.float32) * stored[f"{layer}.weight_scale"]
            assert torch.equal(tensor, expected)
            # Three bits of mantissa: half a step of 1/8 at most.
            torch.testing.assert_close(
                tensor, exact.state_dict()[name], rtol=1 / 16, atol=float(tensor.abs().max()) / 900
            )
        else:
            assert torch.equal(tensor, exact.state_dict()[name])


def test_a_weight_in_fp8_without_its_scale_is_refused_with_a_way_out(original: Path, tmp_path: Path) -> None:
    def lose(tensors: dict[str, Tensor], _: dict[str, str]) -> None:
        quantised(tensors)
        del tensors[f"{QUANTISED[1]}.weight_scale"]

    with pytest.raises(CheckpointError, match=r"proj_out\.weight_scale, one F32 value.*or the bf16 file"):
        load_components(rewritten(original, tmp_path, lose))


def test_a_scale_of_a_weight_that_is_not_in_fp8_is_unknown(original: Path, tmp_path: Path) -> None:
    key = "model.diffusion_model.proj_out.weight_scale"
    file = rewritten(original, tmp_path, lambda tensors, _: tensors.update({key: torch.ones(())}))
    with pytest.raises(CheckpointError, match=f"unknown tensors: {key}"):
        load_components(file)


def test_another_quantised_type_is_refused_with_a_way_out(original: Path, tmp_path: Path) -> None:
    key = "model.diffusion_model.proj_out.weight"
    file = rewritten(original, tmp_path, lambda tensors, _: tensors.update({key: tensors[key].to(torch.uint8)}))
    with pytest.raises(CheckpointError, match=r"is U8.*use the bf16 or the fp8 file"):
        load_components(file)


def test_metadata_of_another_model_is_a_sentence_with_the_files_name(original: Path, tmp_path: Path) -> None:
    file = rewritten(original, tmp_path, lambda _, metadata: metadata.__delitem__("config"))
    with pytest.raises(CheckpointError, match=r"changed\.safetensors: the metadata has no `config`"):
        load_components(file)


def test_a_file_that_is_no_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "notes.safetensors"
    file.write_bytes(b"these are notes")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_components(file)


def test_a_text_encoder_of_another_size_is_refused(original: Path, tmp_path: Path) -> None:
    file = rewritten(original, tmp_path, lambda tensors, _: None)
    config = tmp_path / "text_encoder" / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"num_hidden_layers": 1, "layer_types": values["layer_types"][:1]}))
    with pytest.raises(CheckpointError, match="3 hidden states; this one has 64 and 2"):
        load_components(file)


def test_a_missing_text_encoder_says_where_to_put_it(original: Path, tmp_path: Path) -> None:
    file = tmp_path / original.name
    shutil.copy(original, file)
    with pytest.raises(CheckpointError, match="text_encoder_weights"):
        load_components(file)
    load_components(file, text_encoder_folder=original.parent / "text_encoder")


def test_a_folder_stands_for_its_only_checkpoint(original: Path, tmp_path: Path) -> None:
    assert checkpoint_file(original.parent) == original
    with pytest.raises(CheckpointError, match="found none"):
        checkpoint_file(tmp_path)
    index = tmp_path / "model_index.json"
    index.touch()
    with pytest.raises(CheckpointError, match=r"layout of diffusers.*official single file"):
        checkpoint_file(tmp_path)
    index.unlink()
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r"a\.safetensors, b\.safetensors"):
        checkpoint_file(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint_file(tmp_path / "c.safetensors")

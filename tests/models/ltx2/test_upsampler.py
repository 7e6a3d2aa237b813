import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.upsampler import LatentUpsampler, LatentUpsamplerConfig, load_upsampler

SMALL = LatentUpsamplerConfig(in_channels=4, mid_channels=32, num_blocks_per_stage=1)


def metadata(config: LatentUpsamplerConfig) -> dict[str, Any]:
    return {
        "_class_name": "LatentUpsampler",
        "in_channels": config.in_channels,
        "mid_channels": config.mid_channels,
        "num_blocks_per_stage": config.num_blocks_per_stage,
        "dims": 3,
        "spatial_upsample": True,
        "temporal_upsample": False,
        "spatial_scale": 2.0,
        "rational_resampler": config.rational_resampler,
    }


def written(
    folder: Path,
    config: LatentUpsamplerConfig = SMALL,
    change: Callable[[dict[str, Any]], None] | None = None,
    **keys: Any,
) -> Path:
    """An upsampler file in bf16 whose metadata has ``keys`` on top, and whose tensors ``change`` has seen."""
    torch.manual_seed(0)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in LatentUpsampler(config).state_dict().items()}
    if change is not None:
        change(tensors)
    file = folder / "upsampler.safetensors"
    save_file(tensors, str(file), metadata={"config": json.dumps(metadata(config) | keys)})
    return file


@pytest.mark.parametrize("rational", [True, False])
def test_both_layouts_load_with_all_their_tensors(tmp_path: Path, rational: bool) -> None:
    config = LatentUpsamplerConfig(4, 32, 1, rational_resampler=rational)
    upsampler = load_upsampler(written(tmp_path, config))
    assert upsampler.config == config
    assert not upsampler.training
    assert upsampler(torch.zeros(1, 4, 2, 3, 5)).shape == (1, 4, 2, 6, 10)


def test_a_layout_shows_in_the_tensors_where_the_metadata_is_silent(tmp_path: Path) -> None:
    config = LatentUpsamplerConfig(4, 32, 1, rational_resampler=True)
    assert load_upsampler(written(tmp_path, config, rational_resampler=None)).config.rational_resampler


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("final_conv.bias"), "missing tensors: final_conv.bias"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "unknown tensors: extra"),
        (lambda tensors: tensors.update({"final_conv.bias": torch.zeros(3)}), r"shape \[3\], expected \[4\]"),
    ],
)
def test_other_tensors_than_those_of_an_upsampler_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_upsampler(written(tmp_path, change=change))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"temporal_upsample": True}, "temporal_upsample: expected False"),
        ({"spatial_scale": 1.5}, "spatial_scale: expected 2"),
        ({"mid_channels": 30}, "multiple of 32"),
        ({"transformer": {}}, "another model"),
    ],
)
def test_an_upsampler_of_another_kind_is_refused_with_the_key(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_upsampler(written(tmp_path, **keys))


def test_a_damaged_or_missing_file_is_a_sentence(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_upsampler(file)
    with pytest.raises(CheckpointError, match="no latent upsampler at"):
        load_upsampler(tmp_path / "other.safetensors")

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.pipelines.basic.ltx2.lora_selection import LoraSelection


def an_adapter(folder: Path, value: float) -> Path:
    """A LoRA that adds ``value`` to the one weight of the layer."""
    file = folder / f"{value}.safetensors"
    tensors = {"lora_A": torch.ones(1, 1), "lora_B": torch.full((1, 1), value)}
    save_file({f"diffusion_model.layer.{half}.weight": tensor for half, tensor in tensors.items()}, str(file))
    return file


class Model:
    """One layer with the weight 1."""

    def __init__(self) -> None:
        self.transformer = nn.Module()
        self.transformer.layer = nn.Linear(1, 1)
        nn.init.ones_(self.transformer.layer.weight)
        self.lora = LoraSelection({"transformer": self.transformer, "connectors": nn.Module(), "vocoder": nn.Module()})

    @property
    def weight(self) -> float:
        return self.transformer.layer.weight.item()


def test_an_adapter_takes_the_place_of_others_or_adds_to_them(tmp_path: Path) -> None:
    model = Model()
    model.lora.select("a", an_adapter(tmp_path, 10.0), 1.0, accumulate=False)
    assert model.weight == 11.0
    model.lora.select("b", an_adapter(tmp_path, 100.0), 0.5, accumulate=True)
    assert model.weight == 61.0
    model.lora.select("a", None, 2.0, accumulate=True)
    assert model.weight == 71.0
    model.lora.select("b", None, 1.0, accumulate=False)
    assert model.weight == 101.0


def test_unmerging_gives_back_the_weights_and_merging_the_selection(tmp_path: Path) -> None:
    model = Model()
    model.lora.select("a", an_adapter(tmp_path, 10.0), 1.0, accumulate=False)
    model.lora.unmerge()
    assert model.weight == 1.0
    model.lora.merge()
    assert model.weight == 11.0


def test_the_refine_stage_has_one_adapter_more(tmp_path: Path) -> None:
    model = Model()
    model.lora.add_while_refining(an_adapter(tmp_path, 1000.0), 0.5)
    model.lora.select("a", an_adapter(tmp_path, 10.0), 1.0, accumulate=False)
    with model.lora.during("denoise"):
        assert model.weight == 11.0
    with pytest.raises(KeyError), model.lora.during("refine"):
        assert model.weight == 511.0
        raise KeyError
    assert model.weight == 11.0
    model.lora.unmerge()
    with model.lora.during("refine"):
        assert model.weight == 501.0
    assert model.weight == 1.0


def test_what_cannot_be_selected_changes_nothing(tmp_path: Path) -> None:
    model = Model()
    model.lora.select("a", an_adapter(tmp_path, 10.0), 1.0, accumulate=False)
    with pytest.raises(ConfigValidationError, match="loaded: a"):
        model.lora.select("b", None, 1.0, accumulate=False)
    with pytest.raises(CheckpointError, match="no LoRA at"):
        model.lora.select("b", tmp_path / "none", 1.0, accumulate=False)
    with pytest.raises(ConfigValidationError, match="finite"):
        model.lora.select("a", None, float("nan"), accumulate=False)
    assert model.weight == 11.0

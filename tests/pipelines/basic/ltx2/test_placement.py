import pytest
import torch
from torch import nn

from fastvideo.api.schema import OffloadConfig
from fastvideo.pipelines.basic.ltx2.placement import Placement, offloaded_parts


def a_module() -> nn.Module:
    module = nn.Linear(3, 2)
    module.register_buffer("scale", torch.ones(2))
    return module


def devices(module: nn.Module) -> set[str]:
    return {tensor.device.type for tensor in [*module.parameters(), *module.buffers()]}


# "meta" stands for an accelerator: tensors go there and cannot be computed with here.
ELSEWHERE = torch.device("meta")


def test_an_offloaded_part_visits_the_device_and_comes_home_unchanged() -> None:
    module = a_module()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    placement = Placement({"part": module}, ELSEWHERE, offloaded={"part"})
    with placement.using("part"):
        assert devices(module) == {"meta"}
    assert devices(module) == {"cpu"}
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_part_comes_home_when_its_use_fails() -> None:
    module = a_module()
    placement = Placement({"part": module}, ELSEWHERE, offloaded={"part"})
    with pytest.raises(KeyError), placement.using("part"):
        raise KeyError
    assert devices(module) == {"cpu"}


def test_other_parts_stay_where_they_are() -> None:
    moved, resident = a_module(), a_module()
    placement = Placement({"moved": moved, "resident": resident}, ELSEWHERE, offloaded={"moved"})
    with placement.using("resident"):
        assert devices(resident) == {"cpu"}
        assert devices(moved) == {"cpu"}


def test_without_an_accelerator_nothing_moves() -> None:
    module = a_module()
    weight = module.weight
    with Placement({"part": module}, torch.device("cpu"), offloaded={"part"}).using("part"):
        assert module.weight is weight
        assert devices(module) == {"cpu"}


@pytest.mark.parametrize(
    ("kept", "parts"),
    [
        ({"dit", "dit_layerwise"}, {"text_encoder", "connectors", "video_vae", "audio_vae", "vocoder", "upsampler"}),
        ({"dit"}, {"transformer", "text_encoder", "connectors", "video_vae", "audio_vae", "vocoder", "upsampler"}),
        ({"dit", "dit_layerwise", "text_encoder", "vae"}, set()),
    ],
)
def test_each_switch_names_its_parts(kept: set[str], parts: set[str]) -> None:
    assert offloaded_parts(OffloadConfig(**dict.fromkeys(kept, False))) == parts

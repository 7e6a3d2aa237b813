from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.lora import LayerName, LoraAdapter, LoraWeights

DIT, CONNECTOR = "layers.0.to_q", "video_embeddings_connector.to_out.0"


def a_model(dtype: torch.dtype = torch.bfloat16) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    transformer, connectors = nn.Module(), nn.Module()
    transformer.layers = nn.ModuleList([nn.ModuleDict({"to_q": nn.Linear(6, 4)}), nn.Linear(5, 5)])
    transformer.norm = nn.LayerNorm(4)
    connectors.video_embeddings_connector = nn.ModuleDict({"to_out": nn.Sequential(nn.Linear(3, 3))})
    return {name: part.to(dtype) for name, part in (("transformer", transformer), ("connectors", connectors))}


def a_file(folder: Path, seed: int, layers: dict[str, tuple[int, int]], rank: int = 2) -> Path:
    """A LoRA for layers of [out, in], in bf16."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for layer, (out, channels) in layers.items():
        tensors[f"diffusion_model.{layer}.lora_A.weight"] = torch.randn((rank, channels), generator=generator)
        tensors[f"diffusion_model.{layer}.lora_B.weight"] = torch.randn((out, rank), generator=generator)
    file = folder / f"lora{seed}.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, str(file))
    return file


def weights(model: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{part}/{name}": t.clone() for part, m in model.items() for name, t in m.state_dict().items()}


@pytest.fixture
def model() -> dict[str, nn.Module]:
    return a_model()


@pytest.fixture
def adapters(model: dict[str, nn.Module], tmp_path: Path) -> tuple[LoraAdapter, LoraAdapter]:
    return (
        LoraAdapter.load(a_file(tmp_path, 1, {DIT: (4, 6), CONNECTOR: (3, 3)}), model),
        LoraAdapter.load(a_file(tmp_path, 2, {DIT: (4, 6), "layers.1": (5, 5)}, rank=1), model),
    )


def test_official_names_lead_to_layers_of_the_transformer_and_the_connectors(
    adapters: tuple[LoraAdapter, LoraAdapter],
) -> None:
    assert set(adapters[0].layers) == {LayerName("transformer", DIT), LayerName("connectors", CONNECTOR)}


def test_several_adapters_add_up_each_with_its_strength(
    model: dict[str, nn.Module], adapters: tuple[LoraAdapter, LoraAdapter]
) -> None:
    before = weights(model)
    LoraWeights(model).merge([(adapters[0], 0.5), (adapters[1], -2.0)])
    after = weights(model)
    layer = LayerName("transformer", DIT)
    updates = [
        strength * (adapter.layers[layer].up.double() @ adapter.layers[layer].down.double())
        for adapter, strength in ((adapters[0], 0.5), (adapters[1], -2.0))
    ]
    key = f"transformer/{DIT}.weight"
    torch.testing.assert_close(after[key], (before[key].double() + sum(updates)).bfloat16(), rtol=0.01, atol=0.01)
    for other in ("transformer/layers.1.weight", f"connectors/{CONNECTOR}.weight"):
        assert not torch.equal(after[other], before[other])
    for kept in (f"transformer/{DIT}.bias", "transformer/norm.weight"):
        assert torch.equal(after[kept], before[kept])


def test_however_often_adapters_change_the_weights_come_back_to_the_last_bit(
    model: dict[str, nn.Module], adapters: tuple[LoraAdapter, LoraAdapter]
) -> None:
    before, held = weights(model), LoraWeights(model)
    held.merge([(adapters[0], 1.0)])
    once = weights(model)
    for step in range(20):
        held.merge([(adapters[step % 2], 3.7)])
    held.merge([(adapters[0], 1.0)])
    assert all(torch.equal(once[name], tensor) for name, tensor in weights(model).items())
    held.merge([])
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())


def test_a_swap_changes_weights_in_place_so_that_nothing_is_compiled_again(
    model: dict[str, nn.Module], adapters: tuple[LoraAdapter, LoraAdapter]
) -> None:
    parameters = {name: (p, p.data_ptr()) for name, p in model["transformer"].named_parameters()}
    held = LoraWeights(model)
    for adapter in adapters:
        held.merge([(adapter, 1.0)])
    for name, parameter in model["transformer"].named_parameters():
        assert parameter is parameters[name][0]
        assert parameter.data_ptr() == parameters[name][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"diffusion_model.{DIT}.lora_B.weight"), rf"missing tensors: diffusion_model\.{DIT}\.lora_B"),
        (lambda t: t.pop(f"diffusion_model.{DIT}.lora_A.weight"), rf"missing tensors: diffusion_model\.{DIT}\.lora_A"),
        (lambda t: t.update({"diffusion_model.other.lora_A.weight": torch.zeros(1, 1)}), r"unknown.*\.other\.lora_A"),
        (lambda t: t.update({"diffusion_model.norm.lora_A.weight": torch.zeros(1, 1)}), r"unknown.*\.norm\.lora_A"),
        (lambda t: t.update({f"{DIT}.lora_A.weight": torch.zeros(1, 1)}), "unknown tensors: layers"),
        (lambda t: t.update({f"diffusion_model.{DIT}.alpha": torch.zeros(1)}), r"unknown.*\.alpha"),
        (lambda t: t.update({f"diffusion_model.{DIT}.lora_A.weight": torch.zeros(2, 5)}), r"do not fit.*\[4, 6\]"),
        (lambda t: t.update({f"diffusion_model.{DIT}.lora_A.weight": torch.zeros(3, 6)}), r"do not fit.*\[4, 6\]"),
        (lambda t: t.clear(), "holds no LoRA"),
    ],
)
def test_what_does_not_fit_the_model_is_named(
    model: dict[str, nn.Module], tmp_path: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    down, up = torch.zeros(2, 6), torch.zeros(4, 2)
    tensors = {f"diffusion_model.{DIT}.lora_A.weight": down, f"diffusion_model.{DIT}.lora_B.weight": up}
    change(tensors)
    file = tmp_path / "lora.safetensors"
    save_file(tensors, str(file))
    with pytest.raises(CheckpointError, match=message):
        LoraAdapter.load(file, model)


def test_a_missing_or_damaged_file_is_a_sentence(model: dict[str, nn.Module], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no LoRA at"):
        LoraAdapter.load(tmp_path / "none.safetensors", model)
    file = tmp_path / "lora.safetensors"
    file.write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        LoraAdapter.load(file, model)

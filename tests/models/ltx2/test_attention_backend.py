from __future__ import annotations

import pytest
import torch
import torch.nn.attention

from fastvideo.api.errors import ConfigValidationError
from fastvideo.models.ltx2.attention_backend import use_attention

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def absent(name: str) -> None:
    raise ModuleNotFoundError(f"no {name} here")


def test_what_is_not_to_be_had_is_refused_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.attention, "activate_flash_attention_impl", absent)
    for device, message in ((CPU, "needs a GPU"), (GPU, "needs the package that has flash_attn_interface")):
        with pytest.raises(ConfigValidationError, match=message) as caught:
            use_attention("flash3", device)
        assert caught.value.path == "engine.attention_backend"


@pytest.mark.parametrize(
    ("wanted", "installed", "capability", "expected"),
    [
        ("auto", True, (9, 0), ["FA3"]),
        ("auto", True, (8, 0), []),
        ("auto", False, (9, 0), []),
        ("sdpa", True, (9, 0), []),
        ("flash3", True, (9, 0), ["FA3"]),
    ],
)
def test_a_hopper_gpu_takes_flash_attention_3_where_it_is_installed_and_not_unwanted(
    wanted: str, installed: bool, capability: tuple[int, int], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    activated: list[str] = []
    monkeypatch.setattr(torch.nn.attention, "activate_flash_attention_impl", activated.append)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    use_attention(wanted, GPU)  # type: ignore[arg-type]
    assert activated == expected


def test_a_cpu_has_pytorchs_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.attention, "activate_flash_attention_impl", absent)
    use_attention("auto", CPU)
    use_attention("sdpa", CPU)

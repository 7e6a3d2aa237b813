import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fastvideo.entrypoints.cli.main import main
from fastvideo.models.ltx2.tiny import UPSAMPLER_NAME, write_tiny_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), version="2.3")


def inspected(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["inspect", "--json", str(file)]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_checkpoint_is_told_by_version_parts_types_and_sizes(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspected(tiny, capsys)
    assert (found["kind"], found["version"]) == ("checkpoint", "2.3")
    assert found["notes"] == ["2 transformer blocks in the layout of 2.3"]
    parts = {part["name"]: part for part in found["parts"]}  # type: ignore[attr-defined]
    assert list(parts) == ["transformer", "connectors", "video_vae", "audio_vae", "vocoder"]
    with safe_open(str(tiny), framework="pt") as file:
        keys = list(file.keys())
        size_bytes = sum(2 * file.get_tensor(key).numel() for key in keys)
    assert sum(part["tensors"] for part in parts.values()) == len(keys)
    assert sum(part["nbytes"] for part in parts.values()) == size_bytes
    assert parts["vocoder"]["dtypes"] == {"BF16": parts["vocoder"]["tensors"]}


def test_the_lines_for_people_say_the_same(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny)]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tiny}: LTX-2 checkpoint, version 2.3, ")
    assert any("video_vae" in line and "BF16" in line and "MiB" in line for line in others)


def test_layers_in_fp8_are_counted(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with safe_open(str(tiny), framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    layer = "model.diffusion_model.proj_out"
    tensors[f"{layer}.weight"] = tensors[f"{layer}.weight"].to(torch.float8_e4m3fn)
    tensors[f"{layer}.weight_scale"] = torch.ones(())
    save_file(tensors, str(tmp_path / "fp8.safetensors"), metadata=metadata)
    assert inspected(tmp_path / "fp8.safetensors", capsys)["quantised_layers"] == 1


def test_an_upsampler_and_a_lora_are_told_apart(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspected(tiny.parent / "spatial_upscaler" / UPSAMPLER_NAME, capsys)
    assert (found["kind"], found["notes"]) == ("latent upsampler", ["height and width times 2"])
    file = tmp_path / "lora.safetensors"
    halves = {"lora_A": torch.zeros(3, 8), "lora_B": torch.zeros(4, 3)}
    save_file({f"diffusion_model.a.{half}.weight": tensor for half, tensor in halves.items()}, str(file))
    found = inspected(file, capsys)
    assert (found["kind"], found["version"], found["notes"]) == ("LoRA", None, ["layers: 1, rank: 3"])


def test_a_part_of_a_checkpoint_says_what_is_missing(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "part.safetensors"
    save_file({"model.diffusion_model.proj_out.bias": torch.zeros(4), "other.bias": torch.zeros(1)}, str(file))
    assert inspected(file, capsys)["notes"] == [
        "the metadata has no configuration of: transformer, vae, audio_vae, vocoder; it cannot be loaded by itself",
        "there are no tensors of: connectors, video_vae, audio_vae, vocoder; it cannot be loaded by itself",
        "tensors of no part: 1, such as other.bias; it will be refused",
    ]


def test_what_is_no_such_file_is_one_sentence_and_exit_code_1(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, other = tmp_path / "damaged.safetensors", tmp_path / "other.safetensors"
    damaged.write_bytes(tiny.read_bytes()[:-1000])
    save_file({"encoder.weight": torch.zeros(2)}, str(other))
    for file, sentence in (
        (damaged, "is not a readable safetensors file"),
        (other, "neither an LTX-2 checkpoint nor a latent upsampler or LoRA"),
        (tmp_path / "none", "no file at"),
        (tmp_path, "is a folder"),
    ):
        assert main(["inspect", str(file)]) == 1
        errors = capsys.readouterr().err
        assert errors.startswith("fastvideo inspect: ")
        assert sentence in errors
        assert errors.count("\n") == 1


def test_inspecting_needs_no_torch(tiny: Path) -> None:
    code = (
        "import sys\nfrom fastvideo.entrypoints.cli.main import main\n"
        f"assert main(['inspect', {str(tiny)!r}]) == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr

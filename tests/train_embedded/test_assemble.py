import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fastvideo.api.errors import CheckpointError
from fastvideo.entrypoints.model_path import EMBEDDED_NAME
from fastvideo.models.ltx2.loader import load_components, split_key
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from scripts.train_embedded.assemble import PARTS, assemble, check_sizes, checkpoint_bytes, take_apart

SECTIONS = {
    "video_vae": "vae",
    "audio_vae": "audio_vae",
    "vocoder": "vocoder",
    "connectors": "transformer",
    "transformer": "transformer",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> Path:
    """A folder with the checkpoint in parts, as the stages of training write them."""
    folder = tmp_path / "parts"
    shutil.copytree(whole.parent / "text_encoder", folder / "text_encoder")
    with safe_open(whole, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    tensors = load_file(whole)
    for part in PARTS:
        place = {key: split_key(key) for key in tensors}
        own = {key: tensors[key].float() for key in tensors if place[key] is not None and place[key][0] == part}
        save_file(own, folder / f"{part}.safetensors", {SECTIONS[part]: json.dumps(config[SECTIONS[part]])})
    return folder


def test_the_parts_make_the_checkpoint_that_they_came_from(whole: Path, parts: Path, tmp_path: Path) -> None:
    sizes = assemble(parts, tmp_path / "made")
    made, expected = load_file(tmp_path / "made" / EMBEDDED_NAME), load_file(whole)
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[key], expected[key]) for key in expected)
    loaded = load_components(tmp_path / "made")
    assert loaded.config.transformer == load_components(whole).config.transformer
    assert sizes == {
        str(file.relative_to(tmp_path / "made")): file.stat().st_size
        for file in (tmp_path / "made").rglob("*")
        if file.is_file()
    }


def test_taken_apart_and_put_together_again_it_is_the_same(parts: Path, tmp_path: Path) -> None:
    assemble(parts, tmp_path / "made")
    take_apart(tmp_path / "made", tmp_path / "again")
    assemble(tmp_path / "again", tmp_path / "remade")
    for file in (tmp_path / "made").rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "remade" / file.relative_to(tmp_path / "made")).read_bytes()
    with pytest.raises(FileExistsError, match="in an empty folder"):
        take_apart(tmp_path / "made", tmp_path / "again")


def test_the_same_parts_give_the_same_bytes_and_what_was_there_before_is_replaced(parts: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name / "text_encoder").mkdir(parents=True)
        (tmp_path / name / "text_encoder" / "old.json").touch()
        (tmp_path / name / "MODEL_CARD.md").write_text("kept")
        assemble(parts, tmp_path / name)
        assert not (tmp_path / name / "text_encoder" / "old.json").exists()
        assert (tmp_path / name / "MODEL_CARD.md").read_text() == "kept"
        files.append((tmp_path / name / EMBEDDED_NAME).read_bytes())
    assert files[0] == files[1]


def test_the_order_of_tensors_and_metadata_does_not_show_in_the_file() -> None:
    tensors, metadata = {"a": torch.ones(3), "b": torch.zeros(2, 2)}, {"x": "1", "y": "2", "z": "3"}
    turned = [dict(reversed(each.items())) for each in (tensors, metadata)]
    assert checkpoint_bytes(tensors, metadata) == checkpoint_bytes(*turned)  # type: ignore[arg-type]


def test_a_part_that_lacks_a_tensor_is_refused_and_nothing_is_written(parts: Path, tmp_path: Path) -> None:
    path = parts / "vocoder.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    missing = sorted(tensors)[0]
    save_file({key: tensor for key, tensor in tensors.items() if key != missing}, path, metadata)
    with pytest.raises(CheckpointError, match=missing.split(".")[1]):
        assemble(parts, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("tensor", "metadata", "message"),
    [
        ("vocoder.extra", {}, "in two parts"),
        ("something.else", {}, "of no part"),
        ("vocoder.another", {"transformer": '{"num_layers": 99}'}, r"transformer\.num_layers is"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    parts: Path, tmp_path: Path, tensor: str, metadata: dict[str, str], message: str
) -> None:
    one = {"vocoder.extra": torch.ones(1)}
    save_file(one, parts / "audio_vae.safetensors")
    save_file({tensor: torch.ones(1)}, parts / "transformer.safetensors", metadata)
    with pytest.raises(ValueError, match=message):
        assemble(parts, tmp_path / "made")


def test_a_model_that_is_too_large_for_the_package_is_refused() -> None:
    check_sizes({"a": 15_000_000, "b": 5_000_000})
    with pytest.raises(ValueError, match="a has 15,000,001 bytes"):
        check_sizes({"a": 15_000_001})
    with pytest.raises(ValueError, match="the files have 20,000,001"):
        check_sizes({"a": 10_000_000, "b": 10_000_001})

from __future__ import annotations

import argparse
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastvideo.entrypoints.bench.datasets import BuiltinDataset, RandomDataset, VBenchDataset, dataset_of
from fastvideo.entrypoints.bench.prompts import (
    builtin_prompts,
    random_prompts,
    vbench_folder,
    vbench_pictures,
    vbench_prompts,
)


def arguments(**given: Any) -> argparse.Namespace:
    values = {
        "task": "text-to-video",
        "dataset": "builtin",
        "dataset_path": None,
        "num_prompts": 5,
        "seed": 0,
        "model": "m",
        "width": None,
        "height": None,
        "num_frames": None,
        "fps": None,
    }
    return argparse.Namespace(**{**values, **given})


def test_the_builtin_prompts_are_all_different_lines() -> None:
    prompts = builtin_prompts()
    assert len(prompts) >= 20
    assert len(set(prompts)) == len(prompts)
    assert all(prompt == prompt.strip() and prompt for prompt in prompts)


def test_random_prompts_are_repeated_by_their_seed_and_a_larger_count_adds_to_them() -> None:
    assert random_prompts(5, 1) == random_prompts(50, 1)[:5]
    assert random_prompts(50, 1) != random_prompts(50, 2)


def test_a_list_that_is_too_short_is_repeated() -> None:
    dataset = BuiltinDataset(arguments(num_prompts=60), "http://s", "m")
    prompts = [request.prompt for request in dataset.get_requests()]
    assert len(dataset) == len(prompts) == 60
    assert prompts == (builtin_prompts() * 3)[:60]
    with pytest.raises(IndexError, match="0 to 59"):
        dataset[60]


@pytest.mark.parametrize("task", ["image-to-video", "image-to-image"])
def test_random_first_images_are_pictures_of_the_wanted_size(task: str) -> None:
    dataset = RandomDataset(arguments(task=task, width=96, height=64), "http://s", "m")
    first, again = dataset[0].image, dataset[0].image
    assert first is not None
    assert first == again != dataset[1].image
    kind, _, data = first.partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (96, 64)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prompts.txt", "a cat\n\n  a dog  \n"),
        ("info.json", json.dumps([{"prompt_en": "a cat", "dimension": ["x"]}, {"prompt_en": " a dog "}, {"x": 1}])),
    ],
)
def test_vbench_prompts_come_from_a_local_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    dataset = dataset_of(arguments(dataset="vbench", dataset_path=str(tmp_path / name), num_prompts=3), "http://s")
    assert [request.prompt for request in dataset] == ["a cat", "a dog", "a cat"]
    assert dataset[0].model == "m"


def test_vbench_prompts_are_looked_for_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "fastvideo" / "vbench"
    assert vbench_folder() == folder
    with pytest.raises(FileNotFoundError) as caught:
        vbench_prompts(None)
    for part in (str(folder), "nothing is downloaded", "https://github.com/Vchitect/VBench", "--dataset-path"):
        assert part in str(caught.value)
    folder.mkdir(parents=True)
    (folder / "all_dimension.txt").write_text("a cat\n")
    assert vbench_prompts(None) == ["a cat"]


@pytest.mark.parametrize(
    ("text", "said"), [("", "found none"), ("{}", "list of objects"), ("[1]", "found none"), ("[", "expected JSON")]
)
def test_a_file_without_prompts_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / ("info.json" if text else "prompts.txt")
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        vbench_prompts(path)
    assert str(path) in str(caught.value)


def test_vbench_images_bring_their_prompts_as_names(tmp_path: Path) -> None:
    (tmp_path / "crop").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "crop" / "a cat on a sofa.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    dataset = VBenchDataset(arguments(task="image-to-video", dataset_path=str(tmp_path)), "http://s", "m")
    request = dataset[4]
    assert request.prompt == "a cat on a sofa"
    assert request.image is not None
    assert request.image.startswith("data:image/jpeg;base64,")
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        vbench_pictures(tmp_path / "elsewhere")


def test_an_image_that_no_server_takes_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate((32 << 20) + 1)
    with pytest.raises(ValueError, match="at most 32 MiB"):
        vbench_pictures(tmp_path)

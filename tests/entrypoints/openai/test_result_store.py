"""Finished videos that are kept without jobs."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from fastvideo import ResultStore
from fastvideo.api import ConfigValidationError, GeneratorConfig, OpenAIConfig, ServeConfig, ServerConfig


def a_config(folder: Path, **bounds: int) -> ServeConfig:
    return ServeConfig(GeneratorConfig(model_path="embedded:"), openai=OpenAIConfig(results=folder.as_uri(), **bounds))


def age(store: ResultStore, name: str, by_s: float) -> None:
    path = store.find(name)
    assert path is not None
    written_s = path.stat().st_mtime - by_s
    os.utime(path, (written_s, written_s))


def test_a_result_is_found_by_its_name_and_by_nothing_else(tmp_path: Path) -> None:
    store = ResultStore(a_config(tmp_path / "results"))
    name = store.put(b"a video")
    assert re.fullmatch(r"video_[0-9a-f]{32}\.mp4", name)
    path = store.find(name)
    assert path is not None
    assert path.read_bytes() == b"a video"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.parent == store.folder
    (store.folder / "mine.mp4").write_bytes(b"no result")
    for other in ("mine.mp4", ".lock", "", "..", f"../results/{name}", name.replace(".mp4", ".state"), name + "/", "/"):
        assert store.find(other) is None
    store.close()


def test_results_lie_below_the_output_folder_where_no_other_is_named(tmp_path: Path) -> None:
    store = ResultStore(
        ServeConfig(GeneratorConfig(model_path="embedded:"), server=ServerConfig(output_dir=str(tmp_path)))
    )
    assert store.folder == tmp_path / "results"
    store.close()


def test_a_folder_is_for_one_program_at_a_time_and_keeps_its_results(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    first = ResultStore(config)
    name = first.put(b"a video")
    with pytest.raises(ConfigValidationError, match=r"openai\.results"):
        ResultStore(config)
    first.close()
    second = ResultStore(config)
    assert second.find(name) is not None
    second.close()


def test_a_program_alone_keeps_its_results_on_its_machine() -> None:
    with pytest.raises(
        ConfigValidationError, match=r"openai\.results: expected file:/folder on this machine, got 's3:"
    ):
        ResultStore(
            ServeConfig(GeneratorConfig(model_path="embedded:"), openai=OpenAIConfig(results="s3://bucket/videos"))
        )


def test_old_results_go_after_their_time(tmp_path: Path) -> None:
    store = ResultStore(a_config(tmp_path, keep_seconds=60))
    old, new = store.put(b"old"), store.put(b"new")
    age(store, old, 61)
    age(store, new, 30)
    latest = store.put(b"latest")
    assert [store.find(name) is not None for name in (old, new, latest)] == [False, True, True]
    store.close()


@pytest.mark.parametrize(("bounds", "left"), [({"max_kept": 2}, 2), ({"max_bytes": 25}, 2), ({"max_bytes": 1}, 1)])
def test_the_oldest_results_go_where_there_are_too_many(tmp_path: Path, bounds: dict[str, int], left: int) -> None:
    store = ResultStore(a_config(tmp_path, **bounds))
    names: list[str] = []
    for index in range(4):
        names.append(store.put(b"0123456789"))
        age(store, names[-1], 10 * (4 - index))
    assert [store.find(name) is not None for name in names] == [False] * (4 - left) + [True] * left
    store.close()

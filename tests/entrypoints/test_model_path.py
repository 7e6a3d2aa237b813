import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.api.schema import GeneratorConfig
from fastvideo.entrypoints import model_path
from fastvideo.entrypoints.model_path import (
    EMBEDDED_NAME,
    build_generator,
    cache_folder,
    generator_defaults,
    local_checkpoint,
    parse_tiny,
)
from fastvideo.entrypoints.streaming.mock_generator import MockGenerator


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fastvideo"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tiny:", (0, "2.0")),
        ("tiny:?seed=7", (7, "2.0")),
        ("tiny:?version=2.3&seed=0", (0, "2.3")),
    ],
)
def test_the_tiny_scheme_has_a_seed_and_a_version(path: str, expected: tuple[int, str]) -> None:
    assert parse_tiny(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "tiny:x",
        "tiny://host?seed=0",
        "tiny:?seed=-1",
        "tiny:?seed=1.5",
        "tiny:?seed=",
        "tiny:?seed=99999999999",
        "tiny:?seed=1&seed=2",
        "tiny:?version=2.5",
        "tiny:?size=4",
        "tiny:?seed=²",
    ],
)
def test_other_tiny_paths_are_refused_with_the_settings_path(path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        parse_tiny(path)
    assert caught.value.path == "generator.model_path"


def test_mock_selects_the_fake_generator() -> None:
    assert isinstance(build_generator(GeneratorConfig(model_path="mock:?rtf=0")), MockGenerator)


@pytest.fixture
def package_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the embedded model."""
    monkeypatch.setattr(model_path, "embedded_model_dir", lambda: tmp_path)
    return tmp_path


def test_embedded_means_the_checkpoint_in_the_package(package_data: Path) -> None:
    (package_data / EMBEDDED_NAME).touch()
    assert local_checkpoint("embedded:") == package_data / EMBEDDED_NAME
    defaults = generator_defaults(GeneratorConfig(model_path="embedded:"))
    assert [defaults[name] for name in ("width", "height", "num_frames", "num_inference_steps")] == [256, 256, 57, 3]


def test_a_package_without_its_model_is_a_sentence(package_data: Path) -> None:
    with pytest.raises(CheckpointError, match="install fastvideo again"):
        generator_defaults(GeneratorConfig(model_path="embedded:"))


@pytest.mark.parametrize("path", ["embedded:?seed=0", "embedded://host", "embedded:small"])
def test_embedded_takes_nothing_else(path: str) -> None:
    with pytest.raises(ConfigValidationError, match="nothing after it") as caught:
        local_checkpoint(path)
    assert caught.value.path == "generator.model_path"


def test_a_path_to_nothing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="models are not downloaded"):
        local_checkpoint(str(tmp_path / "none.safetensors"))


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "fastvideo"


def test_the_tiny_checkpoint_is_made_once_and_leaves_no_drafts(cache: Path) -> None:
    file = local_checkpoint("tiny:?seed=5")
    made = file.stat().st_mtime_ns
    assert file.is_relative_to(cache)
    assert (file.parent / "text_encoder" / "config.json").is_file()
    assert local_checkpoint("tiny:?seed=5") == file
    assert file.stat().st_mtime_ns == made
    assert [entry.name for entry in cache.iterdir()] == [file.parent.name]


def test_two_processes_make_the_same_checkpoint_at_once(cache: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from fastvideo.entrypoints.model_path import local_checkpoint
        from fastvideo.models.ltx2 import tiny
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        sys.stdin.readline()
        print(local_checkpoint("tiny:?seed=6"))
        """
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    files = {process.communicate("go\n", timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (file,) = files
    assert Path(file).is_file()
    assert [entry.name for entry in cache.iterdir()] == [Path(file).parent.name]


def test_a_cache_home_that_is_a_file_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="XDG_CACHE_HOME"):
        local_checkpoint("tiny:")

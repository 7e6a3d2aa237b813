"""What a ``model_path`` means: the model in the package (``embedded:``), the fake generator (``mock:``), a tiny random
checkpoint (``tiny:``), or local files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig, RequestLimits
from fastvideo.resources import embedded_model_dir

if TYPE_CHECKING:
    from fastvideo.entrypoints.streaming.mock_generator import MockGenerator
    from fastvideo.entrypoints.video_generator import VideoGenerator

EMBEDDED_NAME = "embedded-ltx2.safetensors"

_EMBEDDED = "embedded:"
_PATH = "generator.model_path"
_MAX_SEED = 2**32 - 1


def build_generator(
    config: GeneratorConfig, *, pool: GpuPoolConfig | None = None, limits: RequestLimits | None = None
) -> VideoGenerator | MockGenerator:
    """The generator that ``config.model_path`` selects; ``pool`` says how its segments are joined, ``limits`` what a
    request may ask for.

    Raises ConfigValidationError for a setting that it cannot honour, CheckpointError for a model that cannot be loaded.
    """
    if config.model_path.startswith("mock:"):
        from fastvideo.entrypoints.streaming.mock_generator import MockGenerator

        return MockGenerator.from_model_path(config.model_path)
    from fastvideo.entrypoints.video_generator import VideoGenerator

    if pool is not None:
        _check_shows_pictures(config)
    return VideoGenerator(config, pool=pool, limits=limits)


def generator_defaults(config: GeneratorConfig, *, shown: bool = True) -> Mapping[str, Any]:
    """The request values that the generator's preset prefers, without building it. ``shown``: it is for streams, which
    need a picture.

    Raises ConfigValidationError for a setting that it could not honour, CheckpointError for a model that is not there.
    """
    if config.model_path.startswith("mock:"):
        build_generator(config)
        return {}
    from fastvideo.pipelines.basic.ltx2.presets import select_preset
    from fastvideo.pipelines.basic.ltx2.support import check_generator_config, check_selection

    check_generator_config(config)
    if shown:
        _check_shows_pictures(config)
    if config.model_path.startswith("tiny:"):
        # Made on first use, by whoever builds the generator.
        parse_tiny(config.model_path)
    else:
        local_checkpoint(config.model_path)
    pipeline = config.pipeline
    preset = select_preset(config.model_path, pipeline.preset, pipeline.preset_version, pipeline.preset_overrides)
    check_selection(config, preset)
    return preset.defaults


def _check_shows_pictures(config: GeneratorConfig) -> None:
    """What serves streams needs a picture in them. Raises ConfigValidationError."""
    from fastvideo.pipelines.basic.ltx2.recipe import SOUND_WORKLOADS

    if config.pipeline.workload_type in SOUND_WORKLOADS:
        raise ConfigValidationError(
            "generator.pipeline.workload_type",
            f"a server's streams show pictures, and {config.pipeline.workload_type} makes sound alone; it is for "
            "VideoGenerator",
        )


def local_checkpoint(model_path: str) -> Path:
    """The file or folder behind a model path; the checkpoint of ``tiny:?seed=0&version=2.3`` is made on first use."""
    if model_path.startswith(_EMBEDDED):
        return embedded_checkpoint(model_path)
    if model_path.startswith("tiny:"):
        return tiny_checkpoint(*parse_tiny(model_path))
    if model_path.startswith("mock:"):
        raise ConfigValidationError(
            _PATH, "mock: paints for servers alone and has no model; expected a checkpoint, embedded: or tiny:"
        )
    path = Path(model_path).expanduser()
    if not path.exists():
        raise CheckpointError(
            f"no model at {model_path}: expected a local .safetensors file, a folder with one, embedded: or "
            "tiny:?seed=0; models are not downloaded"
        )
    return path


def embedded_checkpoint(model_path: str = _EMBEDDED) -> Path:
    """The checkpoint that travels in the package. Raises ConfigValidationError for anything after ``embedded:``."""
    if model_path != _EMBEDDED:
        raise ConfigValidationError(_PATH, f"expected {_EMBEDDED} and nothing after it, got {model_path!r}")
    file = embedded_model_dir() / EMBEDDED_NAME
    if not file.is_file():
        raise CheckpointError(f"the package data {file.name!r} is missing: install fastvideo again")
    return file


def parse_tiny(model_path: str) -> tuple[int, str]:
    """Seed and version of ``tiny:?seed=0&version=2.3``; 0 and 2.0 where they are left out."""
    parts = urlsplit(model_path)
    if parts.scheme != "tiny" or parts.netloc or parts.path or parts.fragment:
        raise ConfigValidationError(_PATH, f"expected tiny:?seed=0&version=2.3, got {model_path!r}")
    values = {"seed": "0", "version": "2.0"}
    given = parse_qsl(parts.query, keep_blank_values=True)
    for key, text in given:
        if key not in values or [name for name, _ in given].count(key) > 1:
            raise ConfigValidationError(_PATH, f"tiny: takes seed and version, each once; got {key!r}")
        values[key] = text
    seed = values["seed"]
    if not (seed.isascii() and seed.isdigit() and int(seed) <= _MAX_SEED):
        raise ConfigValidationError(_PATH, f"seed: expected an integer from 0 to {_MAX_SEED}, got {seed!r}")
    if values["version"] not in ("2.0", "2.3"):
        raise ConfigValidationError(_PATH, f"version: expected 2.0 or 2.3, got {values['version']!r}")
    return int(seed), values["version"]


def cache_folder() -> Path:
    """Where things are kept that can be made again: ``$XDG_CACHE_HOME/fastvideo``, or ``~/.cache/fastvideo``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification ignores relative values.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "fastvideo"


def tiny_checkpoint(seed: int, version: str) -> Path:
    """The tiny checkpoint in the cache; made when it is not there.

    It is written into a folder of its own and then renamed, so that nobody sees half of it, and of two processes that
    make the same one the first wins. Raises CheckpointError when the cache cannot be written.
    """
    from fastvideo.models.ltx2.tiny import CHECKPOINT_NAME, TINY_REVISION, write_tiny_checkpoint

    folder = cache_folder() / f"tiny-ltx2-{version}-seed{seed}-r{TINY_REVISION}"
    if folder.is_dir():
        return folder / CHECKPOINT_NAME
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write_tiny_checkpoint(draft, seed=seed, version=version)
            draft.rename(folder)
        except OSError:
            # A folder that is not empty cannot be renamed over: somebody else was faster.
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the tiny checkpoint below {folder.parent} ({error.strerror}); "
            "point XDG_CACHE_HOME to a folder that can be written"
        ) from error
    return folder / CHECKPOINT_NAME

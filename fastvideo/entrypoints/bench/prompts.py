"""The prompts of a run: our own list, random words, or VBench's from a local copy. Nothing is fetched."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastvideo.resources import prompts_dir

_SUBJECTS = (
    *("a cat", "a dancer", "a sailing boat", "a paper lantern", "an old tram", "a child", "a heron", "a drummer"),
    *("a glass marble", "a red kite", "a fishmonger", "a snail", "a windmill", "a welder", "a horse", "a violinist"),
)
_ACTIONS = (
    *("turns slowly", "runs to the left", "comes closer", "falls over", "laughs", "waits", "spins", "looks up"),
    *("jumps", "hides", "is lifted by the wind", "changes colour", "stops and listens", "walks away"),
)
_PLACES = (
    *("in the rain", "on a beach", "in a narrow street", "under a bridge", "in a greenhouse", "on a frozen lake"),
    *("at night", "in a busy kitchen", "in an empty theatre", "on a roof at dawn", "in deep snow", "in a desert"),
)
_PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
# The largest first image that a server takes.
_MAX_PICTURE_BYTES = 32 << 20
_VBENCH = "https://github.com/Vchitect/VBench"


def builtin_prompts() -> list[str]:
    """Our own list: what one line of text may ask for, plain and rich."""
    return prompt_lines((prompts_dir() / "bench.txt").read_text("utf-8"))


def random_prompts(count: int, seed: int) -> list[str]:
    """Sentences put together at random; the same seed gives the same ones, and a larger count only more."""
    rng = random.Random(f"prompts/{seed}")
    chosen = ((rng.choice(_SUBJECTS), rng.choice(_ACTIONS), rng.choice(_PLACES)) for _ in range(count))
    return [f"{subject} {action} {place}".capitalize() for subject, action, place in chosen]


def prompt_lines(text: str) -> list[str]:
    """The prompts in a text, one a line; blank lines are none."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def vbench_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where VBench is looked for: ``fastvideo/vbench`` in the user's cache folder."""
    cache = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "fastvideo" / "vbench"


def vbench_prompts(path: Path | None) -> list[str]:
    """VBench's text prompts from a list (.txt, one a line) or its VBench_full_info.json, or from the folder of one.

    Without a path the cache folder is looked into. Raises FileNotFoundError, which says where to get them, and
    ValueError for a file that holds none.
    """
    where = vbench_folder() if path is None else path
    if where.is_dir():
        names = ("VBench_full_info.json", "all_dimension.txt", "prompts/all_dimension.txt")
        found = next((where / name for name in names if (where / name).is_file()), None)
    else:
        found = where if where.is_file() else None
    if found is None:
        raise FileNotFoundError(
            f"expected VBench's prompts in {where}, which has none; nothing is downloaded: get "
            f"prompts/all_dimension.txt or vbench/VBench_full_info.json from {_VBENCH} and say --dataset-path FILE"
        )
    text = found.read_text("utf-8")
    prompts = _from_json(text, found) if found.suffix == ".json" else prompt_lines(text)
    if not prompts:
        raise ValueError(f"{found}: expected prompts, found none")
    return prompts


def vbench_pictures(path: Path | None) -> list[tuple[str, Path]]:
    """VBench's first images with their prompts, which are their names, from a folder and what is below it.

    Raises FileNotFoundError, which says where to get them, and ValueError for one that is too large.
    """
    where = vbench_folder() / "i2v" if path is None else path
    found = sorted(one for one in where.rglob("*") if one.suffix.lower() in _PICTURES) if where.is_dir() else []
    if not found:
        raise FileNotFoundError(
            f"expected VBench's images in the folder {where}, which has none; nothing is downloaded: get the images of "
            f"VBench-I2V as {_VBENCH} tells and say --dataset-path FOLDER"
        )
    for one in found:
        if one.stat().st_size > _MAX_PICTURE_BYTES:
            raise ValueError(f"{one}: expected an image of at most 32 MiB")
    return [(one.stem, one) for one in found]


def picture_type(path: Path) -> str:
    """The media type of an image by its name."""
    return _PICTURES[path.suffix.lower()]


def _from_json(text: str, path: Path) -> list[str]:
    try:
        entries: Any = json.loads(text)
    except ValueError:
        raise ValueError(f"{path}: expected JSON") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list of objects with 'prompt_en'")
    found = [entry.get("prompt_en") if isinstance(entry, dict) else entry for entry in entries]
    return [prompt.strip() for prompt in found if isinstance(prompt, str) and prompt.strip()]

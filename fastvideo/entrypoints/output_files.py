"""Where a finished video goes: a name from the request, and never over a file that is there."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

from fastvideo.api.schema import OutputConfig

_NAME_CHARS = 100


def write_video(data: bytes, output: OutputConfig, prompt: str, *, suffix: str = ".mp4") -> Path:
    """Write the bytes of a file of that kind as ``output`` says and return the file.

    An ``output_path`` that ends in ``suffix`` is the file; otherwise it is a folder, and the name is
    ``output_video_name`` or the prompt's first 100 characters. A name that is taken gets _1, _2 and so on. Folders are
    made.
    """
    wanted = Path(output.output_path)
    if wanted.suffix.lower() != suffix:
        name = output.output_video_name or prompt
        wanted = wanted / f"{file_name(name.removesuffix(suffix))}{suffix}"
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in count():
        file = wanted if number == 0 else wanted.with_name(f"{wanted.stem}_{number}{wanted.suffix}")
        try:
            with file.open("xb") as stream:
                stream.write(data)
        except FileExistsError:
            continue
        return file
    raise AssertionError("unreachable: the count has no end")


def file_name(text: str) -> str:
    """Letters, digits, spaces and ``-_.`` of the first 100 characters, no leading dot; "video" when none is left."""
    kept = re.sub(r"[^\w\-. ]+", "_", text[:_NAME_CHARS]).strip(" ._")
    return kept or "video"

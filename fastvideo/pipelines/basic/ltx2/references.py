"""Images and clips that a video shows at given frames, and what each stage sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.parser import parse_config
from fastvideo.api.schema import InputConfig, ReferenceConfig
from fastvideo.pipelines.basic.ltx2.batch import Frames
from fastvideo.pipelines.basic.ltx2.clip_file import load_clip
from fastvideo.pipelines.basic.ltx2.first_frame import fit, load_pixels
from fastvideo.pipelines.basic.ltx2.image_compression import compressed
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan, whole_latent_frames

_MAX_REFERENCES = 16


@dataclass(frozen=True)
class Reference:
    """Pictures uint8 [H, W, 3] of any size, 8k+1 of them, that stand at frame ``first_frame`` with a strength."""

    frames: tuple[Frames, ...]
    first_frame: int = 0
    strength: float = 1.0

    def frames_at(self, height: int, width: int, *, crf: int) -> list[Frames]:
        """The pictures at that size; a single one goes through H.264 before, as in training, a clip has been there."""
        frames = [compressed(self.frames[0], crf)] if len(self.frames) == 1 else self.frames
        return [fit(frame, height=height, width=width) for frame in frames]


def read_references(inputs: InputConfig, plan: SegmentPlan) -> tuple[Reference, ...]:
    """Everything that a request shows, in the order of frames. Clips are cut to 8k+1 frames that the segment has.

    Raises ConfigValidationError with the path, or ImageInvalid.
    """
    found: dict[str, Reference] = {}
    image = _image(inputs.image_path, inputs.pil_image, "inputs")
    if image is not None:
        found["inputs.image_path" if inputs.pil_image is None else "inputs.pil_image"] = Reference((image,))
    if isinstance(inputs.video_path, list):
        raise ConfigValidationError("inputs.video_path", "expected one clip for one prompt, got a list")
    if inputs.video_path is not None:
        found["inputs.video_path"] = Reference(load_clip(inputs.video_path, max_frames=plan.end_frame))
    if inputs.last_image is not None:
        last = _image(None, inputs.last_image, "inputs", name="last_image")
        assert last is not None
        found["inputs.last_image"] = Reference((last,), plan.end_frame - 1)
    for index, entry in enumerate(_entries(inputs.references)):
        path = f"inputs.references[{index}]"
        found[path] = _reference(entry, path, plan)
    _check_places(found, plan)
    ordered = sorted(found.values(), key=lambda reference: reference.first_frame)
    return tuple(
        Reference(
            r.frames[: whole_latent_frames(min(len(r.frames), plan.end_frame - r.first_frame))],
            r.first_frame,
            r.strength,
        )
        for r in ordered
    )


def _entries(references: Sequence[Any] | None) -> Sequence[Any]:
    entries = references or ()
    if len(entries) > _MAX_REFERENCES:
        raise ConfigValidationError("inputs.references", f"expected at most {_MAX_REFERENCES}, got {len(entries)}")
    return entries


def _reference(entry: Any, path: str, plan: SegmentPlan) -> Reference:
    try:
        typed = parse_config(ReferenceConfig, entry)
    except ConfigValidationError as error:
        raise ConfigValidationError(f"{path}.{error.path}" if error.path else path, error.message) from error
    sources = [name for name in ("image_path", "pil_image", "video_path", "frames") if getattr(typed, name) is not None]
    if len(sources) != 1:
        raise ConfigValidationError(
            path, f"expected one of image_path, pil_image, video_path, frames, got {', '.join(sources) or 'none'}"
        )
    # An instance is not parsed, so that it can hold arrays.
    if type(typed.frame) is not int:
        raise ConfigValidationError(f"{path}.frame", f"expected an integer, got {typed.frame!r}")
    if type(typed.strength) not in (int, float) or not 0.0 <= typed.strength <= 1.0:
        raise ConfigValidationError(f"{path}.strength", f"expected 0 to 1, got {typed.strength!r}")
    if typed.video_path is not None:
        frames = load_clip(typed.video_path, max_frames=plan.end_frame)
    elif typed.frames is not None:
        frames = _clip(typed.frames, f"{path}.frames")
    else:
        image = _image(typed.image_path, typed.pil_image, path)
        assert image is not None
        frames = (image,)
    return Reference(frames, typed.frame, typed.strength)


def _image(path: str | list[str] | None, image: Any, where: str, *, name: str = "pil_image") -> Frames | None:
    if isinstance(path, list):
        raise ConfigValidationError(f"{where}.image_path", "expected one image for one prompt, got a list")
    if image is None:
        return None if path is None else load_pixels(path)
    if path is not None:
        raise ConfigValidationError(f"{where}.{name}", "give either pil_image or image_path, not both")
    if not isinstance(image, Image.Image):
        raise ConfigValidationError(f"{where}.{name}", f"expected a PIL image, got {type(image).__name__}")
    return load_pixels(image)


def _clip(frames: Any, path: str) -> tuple[Frames, ...]:
    array = np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise ConfigValidationError(path, f"expected uint8 [F, H, W, 3], got {array.dtype} {list(array.shape)}")
    return tuple(array)


def _check_places(found: dict[str, Reference], plan: SegmentPlan) -> None:
    taken: dict[int, str] = {}
    for path, reference in found.items():
        place = f"{path}.frame" if path.endswith("]") else path
        if reference.first_frame in taken:
            raise ConfigValidationError(
                place, f"frame {reference.first_frame} is already taken by {taken[reference.first_frame]}"
            )
        if 0 <= reference.first_frame < plan.overlap_frames:
            raise ConfigValidationError(
                place,
                f"this request continues a stream, whose first {plan.overlap_frames} frames repeat what was shown",
            )
        if not 0 <= reference.first_frame < plan.end_frame:
            raise ConfigValidationError(place, f"expected 0 to {plan.end_frame - 1}, got {reference.first_frame}")
        taken[reference.first_frame] = path

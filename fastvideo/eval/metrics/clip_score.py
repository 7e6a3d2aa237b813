"""CLIPScore (Hessel et al. 2021): how alike frames and prompt are in the features of CLIP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fastvideo.api.errors import DependencyMissing
from fastvideo.eval.clip import Frames, Sample
from fastvideo.eval.registry import Measure
from fastvideo.eval.result import Score

MODEL = "openai/clip-vit-base-patch32"
MOST_FRAMES = 32
# Means and deviations of the pictures that CLIP was trained on.
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def load(device: str, model: str = MODEL) -> Measure:
    """A function that measures 100 times the cosine of prompt and frame, at least 0: the mean over at most 32 frames,
    evenly spaced. ``model`` is a folder or a name of the Hugging Face hub that is on this machine already.

    Raises DependencyMissing if it is not.
    """
    from huggingface_hub import try_to_load_from_cache

    absent = f"clip_score needs {model}, and does not download it by itself. Get it with: hf download {model}"
    # Looked for first, because the import takes seconds.
    if not Path(model).is_dir() and not isinstance(try_to_load_from_cache(model, "config.json"), str):
        raise DependencyMissing(absent)
    import torch
    from transformers import CLIPModel, CLIPTokenizerFast

    from fastvideo.eval.metrics.networks import usable_device

    try:
        network = CLIPModel.from_pretrained(model, local_files_only=True)
        tokenizer = CLIPTokenizerFast.from_pretrained(model, local_files_only=True)
    except OSError as error:
        raise DependencyMissing(absent) from error
    where = usable_device(device)
    network = network.eval().to(where)
    size_px = network.config.vision_config.image_size

    @torch.inference_mode()
    def measure(sample: Sample) -> Score:
        chosen = np.unique(np.linspace(0, sample.video.num_frames - 1, MOST_FRAMES).round().astype(int))
        pictures = np.stack([_prepared(sample.video.frames[index], size_px) for index in chosen])
        words = tokenizer(
            [sample.prompt or ""],
            return_tensors="pt",
            truncation=True,
            max_length=network.config.text_config.max_position_embeddings,
        )
        found = network(pixel_values=torch.from_numpy(pictures).to(where), **words.to(where))
        cosines = (found.image_embeds @ found.text_embeds.T).squeeze(1)
        values = cosines.clamp(min=0).mul(100).tolist()
        return Score(sum(values) / len(values), {"min": min(values), "frames": len(values)})

    return measure


def _prepared(frame: Frames, size_px: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The middle square, at the network's size, [3, size_px, size_px]."""
    picture = Image.fromarray(frame)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    resized = picture.resize((size_px, size_px), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = (np.asarray(resized, np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))

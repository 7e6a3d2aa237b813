"""What a run asks for: prompts, and first images where the task takes some, as requests."""

from __future__ import annotations

import argparse
import base64
import io
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from fastvideo.entrypoints.bench.job import JobRequest, Task
from fastvideo.entrypoints.bench.prompts import (
    builtin_prompts,
    picture_type,
    random_prompts,
    vbench_pictures,
    vbench_prompts,
)


class BaseDataset(ABC):
    """``args.num_prompts`` requests, in the same order for the same ``args.seed``; a shorter list is repeated."""

    def __init__(self, args: argparse.Namespace, api_url: str, model: str) -> None:
        self.args = args
        self.api_url = api_url
        self.model = model

    def __len__(self) -> int:
        count: int = self.args.num_prompts
        return count

    @abstractmethod
    def __getitem__(self, index: int) -> JobRequest:
        """The request with this number; raises IndexError."""

    def __iter__(self) -> Iterator[JobRequest]:
        return (self[index] for index in range(len(self)))

    def get_requests(self) -> list[JobRequest]:
        """All of them."""
        return list(self)

    def request(self, prompt: str, image: str | None) -> JobRequest:
        """A request with what ``args`` says of the size."""
        args = self.args
        return JobRequest(
            prompt=prompt,
            task=Task(args.task),
            model=self.model,
            width=args.width,
            height=args.height,
            num_frames=args.num_frames,
            fps=args.fps,
            image=image,
        )

    def check(self, index: int) -> int:
        """The number itself; raises IndexError for one outside."""
        if not 0 <= index < len(self):
            raise IndexError(f"expected a number from 0 to {len(self) - 1}, got {index}")
        return index


class _ListDataset(BaseDataset):
    def __init__(self, args: argparse.Namespace, api_url: str, model: str, prompts: list[str]) -> None:
        super().__init__(args, api_url, model)
        self.prompts = prompts

    def __getitem__(self, index: int) -> JobRequest:
        prompt = self.prompts[self.check(index) % len(self.prompts)]
        takes_image = Task(self.args.task).takes_image
        return self.request(prompt, _noise(self.args.seed + index, self.args) if takes_image else None)


class BuiltinDataset(_ListDataset):
    """The list in the package; first images, where the task takes some, are noise."""

    def __init__(self, args: argparse.Namespace, api_url: str, model: str) -> None:
        super().__init__(args, api_url, model, builtin_prompts())


class RandomDataset(_ListDataset):
    """Sentences and first images made at random from ``args.seed``."""

    def __init__(self, args: argparse.Namespace, api_url: str, model: str) -> None:
        super().__init__(args, api_url, model, random_prompts(args.num_prompts, args.seed))


class VBenchDataset(BaseDataset):
    """VBench's prompts, or for tasks with a first image its images, from ``args.dataset_path`` or the cache folder.

    Raises FileNotFoundError, which says where to get them, and ValueError.
    """

    def __init__(self, args: argparse.Namespace, api_url: str, model: str) -> None:
        super().__init__(args, api_url, model)
        path = Path(args.dataset_path).expanduser() if args.dataset_path else None
        self.entries: list[tuple[str, Path | None]]
        if Task(args.task).takes_image:
            self.entries = [(prompt, picture) for prompt, picture in vbench_pictures(path)]
        else:
            self.entries = [(prompt, None) for prompt in vbench_prompts(path)]

    def __getitem__(self, index: int) -> JobRequest:
        prompt, picture = self.entries[self.check(index) % len(self.entries)]
        if picture is None:
            return self.request(prompt, None)
        return self.request(prompt, _data_url(picture.read_bytes(), picture_type(picture)))


_DATASETS = {"builtin": BuiltinDataset, "random": RandomDataset, "vbench": VBenchDataset}


def dataset_of(args: argparse.Namespace, api_url: str) -> BaseDataset:
    """The dataset that ``args.dataset`` names."""
    return _DATASETS[args.dataset](args, api_url, args.model)


def _noise(seed: int, args: argparse.Namespace) -> str:
    from PIL import Image

    # Sixteen large dots a side: what a model is given as its first picture has shapes.
    dots = Image.frombytes("RGB", (16, 16), random.Random(f"image/{seed}").randbytes(16 * 16 * 3))
    file = io.BytesIO()
    dots.resize((args.width or 256, args.height or 256), Image.Resampling.BICUBIC).save(file, "PNG")
    return _data_url(file.getvalue(), "image/png")


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

"""Images: each is one frame of the model's."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastvideo.client.errors import ProtocolViolation
from fastvideo.client.http_door import HttpDoor
from fastvideo.client.image_file import ImageFile, ImageSource
from fastvideo.entrypoints.openai.protocol import ImageResponse

ImageFormat = Literal["png", "jpeg", "webp"]


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A finished image: the bytes of its file."""

    data: bytes

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file; its format is the one that was asked for, whatever the name says."""
        target = Path(path)
        target.write_bytes(self.data)
        return target


class AsyncImages:
    """``client.images``: every method waits for the images, and raises ServerUnreachable and RequestRefused."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door

    async def generate(
        self,
        *,
        prompt: str,
        n: int = 1,
        size: str | None = None,
        output_format: ImageFormat | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
    ) -> list[GeneratedImage]:
        """Make ``n`` images; what is None is up to the operator. ``size``: ``WIDTHxHEIGHT``."""
        body = {
            "prompt": prompt,
            "n": n,
            "size": size,
            "output_format": output_format,
            "seed": seed,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
        }
        return await self._made("/v1/images/generations", body)

    async def edit(
        self,
        *,
        image: ImageSource,
        prompt: str,
        n: int = 1,
        size: str | None = None,
        output_format: ImageFormat | None = None,
        seed: int | None = None,
    ) -> list[GeneratedImage]:
        """Make ``n`` images that begin with one: a path of this machine, or the file's bytes."""
        body = {
            "url": ImageFile.read(image).data_url,
            "prompt": prompt,
            "n": n,
            "size": size,
            "output_format": output_format,
            "seed": seed,
        }
        return await self._made("/v1/images/edits", body)

    async def _made(self, path: str, body: Mapping[str, Any]) -> list[GeneratedImage]:
        asked = {name: value for name, value in body.items() if value is not None}
        answer = await self._door.fetch("POST", path, body={**asked, "response_format": "b64_json"}, waits=True)
        try:
            texts = [one.b64_json or "" for one in ImageResponse.model_validate_json(answer).data]
            return [GeneratedImage(base64.b64decode(text, validate=True)) for text in texts]
        except ValueError as error:
            raise ProtocolViolation("expected images, got an answer that has none") from error

"""Cerebras, by its documented name."""

from __future__ import annotations

from dataclasses import replace

from fastvideo.entrypoints.streaming.prompt.providers.endpoints import CEREBRAS
from fastvideo.entrypoints.streaming.prompt.providers.openai_compatible import OpenAICompatibleProvider


class CerebrasProvider(OpenAICompatibleProvider):
    """Asks Cerebras. Without ``api_key``, the key is what ``CEREBRAS_API_KEY`` holds."""

    def __init__(
        self, api_key: str | None = None, base_url: str = CEREBRAS.base_url, name: str = CEREBRAS.name
    ) -> None:
        super().__init__(replace(CEREBRAS, base_url=base_url, name=name), api_key=api_key)

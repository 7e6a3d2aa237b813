"""Groq, by its documented name."""

from __future__ import annotations

from dataclasses import replace

from fastvideo.entrypoints.streaming.prompt.providers.endpoints import GROQ
from fastvideo.entrypoints.streaming.prompt.providers.openai_compatible import OpenAICompatibleProvider


class GroqProvider(OpenAICompatibleProvider):
    """Asks Groq. Without ``api_key``, the key is what ``GROQ_API_KEY`` holds."""

    def __init__(self, api_key: str | None = None, base_url: str = GROQ.base_url, name: str = GROQ.name) -> None:
        super().__init__(replace(GROQ, base_url=base_url, name=name), api_key=api_key)

"""What happens to a viewer's words before a generator sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from fastvideo.api.strict_config import StrictConfig


@dataclass
class PromptEndpointConfig(StrictConfig):
    """An OpenAI-compatible service.

    ``base_url``: what comes before ``/chat/completions``; None is the known service called ``name``. ``api_key_env``:
    the environment variable that holds its key; ``model``: what it is asked for, in place of the enhancer's model.
    """

    name: str
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None


@dataclass
class PromptEnhancerConfig(StrictConfig):
    """Prompts enhanced, continued and rewritten by a language model.

    ``providers`` are asked in order, in place of ``provider``: the next one after ``hedge_after_ms``, or at once when
    one fails. After ``timeout_ms`` the viewer's own words are used.
    """

    enabled: bool = False
    provider: Literal["cerebras", "groq"] = "cerebras"
    model: str = "gpt-oss-120b"
    timeout_ms: int = 20000
    system_prompt_dir: str | None = None
    providers: list[PromptEndpointConfig] = field(default_factory=list)
    hedge_after_ms: int = 1000


@dataclass
class PromptSafetyConfig(StrictConfig):
    """A fastText classifier in front of the prompts: those with a label of ``block_labels`` go no further."""

    enabled: bool = False
    classifier_path: str | None = None
    block_threshold: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    block_labels: Annotated[list[str], Field(min_length=1)] = field(default_factory=lambda: ["unsafe"])

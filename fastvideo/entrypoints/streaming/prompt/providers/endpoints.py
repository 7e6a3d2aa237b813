"""OpenAI-compatible services, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Endpoint:
    """Where an OpenAI-compatible service is, and what it calls things.

    ``base_url``: what comes before ``/chat/completions``; ``api_key_env``: the environment variable with its key, None
    for a service that wants none (a local vLLM, say); ``model``: asked for whatever the request says; ``model_names``:
    what the service calls a model that is known under another name. Raises ValueError for a URL that cannot be used.
    """

    name: str
    base_url: str
    api_key_env: str | None = None
    model: str | None = None
    model_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            # Reading the port checks it.
            usable = usable and parts.port != 0
        except ValueError:
            usable = False
        # The URL is repeated in none of these sentences: a wrong one may hold a password.
        if not usable:
            raise ValueError(f"provider {self.name}: expected a base URL such as https://host/v1")
        if "@" in parts.netloc:
            raise ValueError(
                f"provider {self.name}: expected a base URL without user and password; name the environment variable "
                "that holds the key instead"
            )
        if parts.query or parts.fragment:
            raise ValueError(f"provider {self.name}: expected a base URL without query and fragment")

    @property
    def completions_url(self) -> str:
        """Where chat completions are asked for."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    def model_for(self, requested: str) -> str:
        """What to call the model that somebody asks for."""
        return self.model or self.model_names.get(requested, requested)


CEREBRAS = Endpoint("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY")
GROQ = Endpoint(
    "groq",
    "https://api.groq.com/openai/v1",
    "GROQ_API_KEY",
    model_names={"gpt-oss-120b": "openai/gpt-oss-120b", "gpt-oss-20b": "openai/gpt-oss-20b"},
)

KNOWN_ENDPOINTS: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in (CEREBRAS, GROQ)}

"""An enhancer from a serve file, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fastvideo.entrypoints.streaming.prompt as package
import fastvideo.entrypoints.streaming.prompt.providers as providers_package
from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import PromptEndpointConfig, PromptEnhancerConfig
from fastvideo.entrypoints.streaming.prompt.building import MAX_TOKENS, build_enhancer, endpoints_of
from fastvideo.entrypoints.streaming.prompt.outcome import Enhanced, Unchanged, enhance_or_keep
from fastvideo.entrypoints.streaming.prompt.providers.endpoints import KNOWN_ENDPOINTS, Endpoint


async def test_the_named_provider_alone_is_asked_whatever_keys_there_are(monkeypatch) -> None:
    for name in ("CEREBRAS_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "a-key")
    enhancer = build_enhancer(PromptEnhancerConfig(provider="groq"))
    assert [provider.name for provider in enhancer.providers] == ["groq"]
    await enhancer.aclose()


async def test_endpoints_are_asked_in_their_order_instead(start_model, plays, tmp_path, monkeypatch) -> None:
    (tmp_path / "enhance.txt").write_text("Make it short.")
    monkeypatch.setenv("VLLM_KEY", "local-key")
    local = await start_model(plays.says("A red ball."))
    enhancer = build_enhancer(
        PromptEnhancerConfig(model="gpt-oss-120b", system_prompt_dir=str(tmp_path)),
        endpoints=[KNOWN_ENDPOINTS["groq"], Endpoint("vllm", local.url, "VLLM_KEY", model="local-model")],
    )
    assert [provider.name for provider in enhancer.providers] == ["groq", "vllm"]
    # Groq has no key here, so it is skipped.
    outcome = await enhance_or_keep(enhancer, "a ball")
    await enhancer.aclose()
    assert isinstance(outcome, Enhanced)
    assert (outcome.provider, outcome.model) == ("vllm", "local-model")
    body = local.received[0].body
    assert (body["messages"][0]["content"], body["max_tokens"]) == ("Make it short.", MAX_TOKENS)
    assert local.received[0].headers["authorization"] == "Bearer local-key"


async def test_without_any_key_prompts_stay_as_they_are_and_the_variable_is_named() -> None:
    enhancer = build_enhancer(PromptEnhancerConfig(enabled=True))
    outcome = await enhance_or_keep(enhancer, "a ball")
    await enhancer.aclose()
    assert isinstance(outcome, Unchanged)
    assert (outcome.text, outcome.reason) == ("a ball", "not_configured")
    assert "CEREBRAS_API_KEY" in outcome.detail


@pytest.mark.parametrize(
    ("field", "value"), [("timeout_ms", 0), ("timeout_ms", -1), ("system_prompt_dir", "/nowhere/at/all")]
)
def test_what_cannot_be_honoured_is_refused_with_its_path(field: str, value: object) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        build_enhancer(PromptEnhancerConfig(**{field: value}))
    assert caught.value.path == f"streaming.prompt.{field}"


@pytest.mark.parametrize("module", [package, providers_package], ids=["prompt", "providers"])
def test_every_listed_name_exists(module) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert dir(module) == module.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = module.Nothing


@pytest.mark.parametrize(
    "statement",
    [
        "import fastvideo, fastvideo.api, fastvideo.entrypoints.streaming",
        "from fastvideo.entrypoints.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass",
        "import fastvideo.entrypoints.streaming.prompt.outcome, fastvideo.entrypoints.streaming.prompt.rewrite",
    ],
)
def test_nothing_loads_the_http_client_before_a_provider_is_built(statement: str) -> None:
    code = f"import sys\n{statement}\nassert 'httpx' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_one_module_speaks_http() -> None:
    folder = Path(package.__file__).parent
    speakers = [path.name for path in folder.rglob("*.py") if "import httpx" in path.read_text()]
    assert speakers == ["chat_client.py"]


def test_a_known_service_needs_its_name_only_and_keeps_what_the_operator_changes() -> None:
    config = PromptEnhancerConfig(
        providers=[
            PromptEndpointConfig("groq"),
            PromptEndpointConfig("cerebras", api_key_env="OUR_KEY", model="llama"),
            PromptEndpointConfig("local", base_url="http://127.0.0.1:8001/v1", model="mine"),
        ]
    )
    groq, cerebras, local = endpoints_of(config)
    assert groq == KNOWN_ENDPOINTS["groq"]
    assert (cerebras.base_url, cerebras.api_key_env) == (KNOWN_ENDPOINTS["cerebras"].base_url, "OUR_KEY")
    assert cerebras.model_for("anything") == "llama"
    assert local == Endpoint("local", "http://127.0.0.1:8001/v1", None, "mine")
    assert endpoints_of(PromptEnhancerConfig(provider="groq")) == [KNOWN_ENDPOINTS["groq"]]


@pytest.mark.parametrize(
    ("providers", "path"),
    [
        ([PromptEndpointConfig("local")], "[0].base_url"),
        ([PromptEndpointConfig("groq"), PromptEndpointConfig("x", base_url="ftp://host/v1")], "[1].base_url"),
        ([PromptEndpointConfig("x", base_url="https://me:secret@host/v1")], "[0].base_url"),
        ([PromptEndpointConfig("groq"), PromptEndpointConfig("groq")], "[1].name"),
        ([PromptEndpointConfig(" ", base_url="https://host/v1")], "[0].name"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_refused_with_its_path(providers, path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        endpoints_of(PromptEnhancerConfig(providers=providers))
    assert caught.value.path == f"streaming.prompt.providers{path}"
    assert "secret" not in str(caught.value)

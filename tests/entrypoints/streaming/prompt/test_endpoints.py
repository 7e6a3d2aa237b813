"""Services as data."""

from __future__ import annotations

import pytest

from fastvideo.entrypoints.streaming.prompt.providers.endpoints import KNOWN_ENDPOINTS, Endpoint


def test_the_documented_services_are_known_with_their_keys_variables() -> None:
    known = {name: (endpoint.completions_url, endpoint.api_key_env) for name, endpoint in KNOWN_ENDPOINTS.items()}
    assert known == {
        "cerebras": ("https://api.cerebras.ai/v1/chat/completions", "CEREBRAS_API_KEY"),
        "groq": ("https://api.groq.com/openai/v1/chat/completions", "GROQ_API_KEY"),
    }


def test_a_model_goes_by_the_name_that_the_service_has_for_it() -> None:
    assert KNOWN_ENDPOINTS["cerebras"].model_for("gpt-oss-120b") == "gpt-oss-120b"
    assert KNOWN_ENDPOINTS["groq"].model_for("gpt-oss-120b") == "openai/gpt-oss-120b"
    assert KNOWN_ENDPOINTS["groq"].model_for("llama-3.3-70b-versatile") == "llama-3.3-70b-versatile"
    assert Endpoint("vllm", "http://gpu:8000/v1/", model="gemma").model_for("gpt-oss-120b") == "gemma"


def test_a_slash_at_the_end_of_a_url_makes_no_difference() -> None:
    assert Endpoint("vllm", "http://gpu:8000/v1/").completions_url == "http://gpu:8000/v1/chat/completions"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gpu:8000/v1", "expected a base URL such as"),
        ("file:///etc/passwd", "expected a base URL such as"),
        ("http://", "expected a base URL such as"),
        ("http://gpu:port", "expected a base URL such as"),
        ("http://[gpu", "expected a base URL such as"),
        ("https://me:hunter2@gpu/v1", "without user and password"),
        ("https://gpu/v1?key=hunter2", "without query"),
        ("https://gpu/v1#hunter2", "without query"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_what_may_be_secret(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        Endpoint("vllm", url)
    assert "hunter2" not in str(caught.value)

"""Chat completions as OpenAI's interface has them, which many services and local servers speak."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import msgspec

from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMProviderError,
    LLMProviderMisconfigured,
    LLMRequest,
    LLMResponse,
)
from fastvideo.entrypoints.streaming.prompt.providers.chat_client import ChatClient
from fastvideo.entrypoints.streaming.prompt.providers.endpoints import Endpoint

DEFAULT_TIMEOUT_MS = 20_000


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice] | None = None


_reply_decoder = msgspec.json.Decoder(_Reply)


class OpenAICompatibleProvider:
    """Asks one endpoint. The key is ``api_key``, or else what its environment variable holds now."""

    def __init__(self, endpoint: Endpoint, *, api_key: str | None = None) -> None:
        self.name = endpoint.name
        self.endpoint = endpoint
        if api_key is None and endpoint.api_key_env is not None:
            api_key = os.environ.get(endpoint.api_key_env)
        self._api_key = api_key
        self._client = ChatClient()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, base_url={self.endpoint.base_url!r})"

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """The answer of the first choice; raises LLMProviderError."""
        return await complete_openai_compatible(
            api_key=self._api_key,
            api_key_hint=self.endpoint.api_key_env,
            base_url=self.endpoint.base_url,
            provider_name=self.name,
            request=replace(request, model=self.endpoint.model_for(request.model)),
            client=self._client,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()


async def complete_openai_compatible(
    *,
    api_key: str | None,
    api_key_hint: str | None,
    base_url: str,
    provider_name: str,
    request: LLMRequest,
    client: ChatClient | None = None,
) -> LLMResponse:
    """Ask ``base_url`` once; raises LLMProviderError, and ValueError for a URL that cannot be used.

    ``api_key_hint``: the environment variable that a missing key belongs into, None when no key is needed;
    ``client``: whose connections to use, None for one that is used only once.
    """
    url = Endpoint(provider_name, base_url).completions_url
    key = _checked_key(provider_name, api_key, api_key_hint)
    if client is None:
        client = ChatClient()
        try:
            return await _complete(client, url, key, provider_name, request)
        finally:
            await client.aclose()
    return await _complete(client, url, key, provider_name, request)


async def _complete(client: ChatClient, url: str, key: str | None, provider: str, request: LLMRequest) -> LLMResponse:
    body: dict[str, object] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    timeout_ms = DEFAULT_TIMEOUT_MS if request.timeout_ms is None else request.timeout_ms
    asked_s = time.monotonic()
    reply = await client.post(
        url, msgspec.json.encode(body), api_key=key, provider=provider, timeout_s=timeout_ms / 1000.0
    )
    content = answer_of(reply, provider)
    return LLMResponse(content, provider, request.model, latency_ms=(time.monotonic() - asked_s) * 1000.0)


def answer_of(body: bytes, provider: str) -> str:
    """The text in the body of a chat completion. Raises LLMProviderError when there is none that can be used."""
    try:
        reply = _reply_decoder.decode(body)
    except msgspec.ValidationError:
        raise LLMProviderError(
            f"{provider} answered with JSON that is no chat completion", reason="malformed"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LLMProviderError(f"{provider} gave a non-JSON answer", reason="malformed") from None
    if not reply.choices:
        raise LLMProviderError(f"{provider} answered with no choices", reason="malformed")
    choice = reply.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise LLMProviderError(f"{provider}'s model refused to answer", reason="refused")
    if choice.message.content is None or not choice.message.content.strip():
        raise LLMProviderError(f"{provider} gave an empty answer", reason="empty")
    return choice.message.content


def _checked_key(provider: str, api_key: str | None, hint: str | None) -> str | None:
    key = (api_key or "").strip()
    if not key:
        if hint is None:
            return None
        raise LLMProviderMisconfigured(f"{provider} has no key: set {hint}", reason="not_configured")
    # Checked here, as the HTTP library's own error would show the key.
    if not all("!" <= character <= "~" for character in key):
        where = f": check {hint}" if hint else ""
        raise LLMProviderMisconfigured(
            f"{provider}'s key holds characters that a header cannot{where}", reason="not_configured"
        )
    return key

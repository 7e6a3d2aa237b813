"""One provider against a service on the loopback interface."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.streaming.prompt.providers import CerebrasProvider, GroqProvider, OpenAICompatibleProvider
from fastvideo.entrypoints.streaming.prompt.providers.base import (
    LLMMessage,
    LLMProvider,
    LLMProviderError,
    LLMProviderMisconfigured,
    LLMRequest,
    LLMResponse,
    LLMTimeoutError,
)
from fastvideo.entrypoints.streaming.prompt.providers.chat_client import MAX_BODY_BYTES
from fastvideo.entrypoints.streaming.prompt.providers.endpoints import Endpoint
from fastvideo.entrypoints.streaming.prompt.providers.openai_compatible import answer_of, complete_openai_compatible

KEY = "sk-not-for-anybody-else"
ASK = LLMRequest([LLMMessage("system", "Be brief."), LLMMessage("user", "a ball")], "small-model", timeout_ms=30_000)
MIB_10 = 10 << 20


@pytest.fixture
async def closed() -> AsyncIterator[list[OpenAICompatibleProvider]]:
    """Providers put in here are closed at the end."""
    providers: list[OpenAICompatibleProvider] = []
    yield providers
    for provider in providers:
        await provider.aclose()


async def ask(
    url: str, closed: list[OpenAICompatibleProvider], request: LLMRequest = ASK, *, key: str | None = None, **data: Any
) -> LLMResponse:
    closed.append(OpenAICompatibleProvider(Endpoint("here", url, **data), api_key=key))
    return await closed[-1].complete(request)


async def failure(url: str, closed: list[OpenAICompatibleProvider], **more: Any) -> LLMProviderError:
    with pytest.raises(LLMProviderError) as caught:
        await ask(url, closed, **more)
    return caught.value


async def test_a_question_goes_out_as_documented_and_the_answer_comes_back(start_model, plays, closed) -> None:
    model = await start_model(plays.says("A red ball."))
    request = LLMRequest(ASK.messages, "small-model", max_tokens=64, temperature=0.5, timeout_ms=30_000)
    response = await ask(model.url, closed, request, key=KEY)
    assert (response.content, response.provider, response.model) == ("A red ball.", "here", "small-model")
    assert response.latency_ms >= 0
    assert response.fallback_used is False
    (received,) = model.received
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.body == {
        "model": "small-model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a ball"}],
        "max_tokens": 64,
        "temperature": 0.5,
    }


async def test_what_is_not_set_is_not_sent_nor_a_key_where_none_is_wanted(start_model, plays, closed) -> None:
    model = await start_model(plays.says("A red ball."))
    await ask(model.url, closed)
    assert set(model.received[0].body) == {"model", "messages"}
    assert "authorization" not in model.received[0].headers


async def test_an_endpoint_may_have_a_model_of_its_own(start_model, plays, closed) -> None:
    model = await start_model(plays.says("A red ball."))
    response = await ask(model.url, closed, model="local-model")
    assert response.model == model.received[0].body["model"] == "local-model"


async def test_questions_share_a_connection(start_model, plays, closed) -> None:
    model = await start_model(plays.says("A red ball."))
    await ask(model.url, closed)
    await closed[0].complete(ASK)
    assert [received.connection for received in model.received] == [1, 1]


async def test_closing_a_provider_closes_its_connections(start_model, plays, closed) -> None:
    model = await start_model(plays.says("A red ball."))
    await ask(model.url, closed)
    await closed[0].aclose()
    await model.all_left()


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "reason", "again_s"),
    [
        (400, LLMProviderError, False, "rejected", None),
        (401, LLMProviderMisconfigured, False, "rejected", None),
        (403, LLMProviderMisconfigured, False, "rejected", None),
        (404, LLMProviderMisconfigured, False, "rejected", None),
        (204, LLMProviderError, False, "rejected", None),
        (429, LLMProviderError, True, "rate_limited", 1.0),
        (500, LLMProviderError, True, "unavailable", 0.25),
        (503, LLMProviderError, True, "unavailable", 0.25),
    ],
)
async def test_a_status_that_is_no_success_is_named_and_says_whether_to_go_on(
    start_model, plays, closed, status, kind, retryable, reason, again_s
) -> None:
    model = await start_model(plays.answers(status, b"" if status == 204 else b"the body tells nothing"))
    error = await failure(model.url, closed)
    assert type(error) is kind
    assert (error.retryable, error.reason, error.retry_after_s) == (retryable, reason, again_s)
    assert str(status) in str(error)
    assert "the body" not in str(error)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_says_when_to_come_back(start_model, plays, closed, status) -> None:
    model = await start_model(plays.answers(status, Retry_After="17"))
    assert (await failure(model.url, closed)).retry_after_s == 17.0


async def test_a_redirect_is_not_followed_so_that_the_key_stays_where_it_belongs(start_model, plays, closed) -> None:
    elsewhere = await start_model(plays.says("Thank you for the key."))
    model = await start_model(plays.answers(307, Location=f"{elsewhere.url}/chat/completions"))
    error = await failure(model.url, closed, key=KEY)
    assert isinstance(error, LLMProviderMisconfigured)
    assert "redirect" in str(error)
    assert elsewhere.received == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>hello</html>", "non-JSON"),
        (b"", "non-JSON"),
        (b'{"choices": [{"message"', "non-JSON"),
        (b"[" * 100_000, "JSON"),
        (b'{"x": ' + b"[" * 100_000, "JSON"),
        (b"[]", "no chat completion"),
        (b'{"choices": [{"message": {"content": 5}}]}', "no chat completion"),
        (b"{}", "no choices"),
        (b'{"choices": null}', "no choices"),
        (b'{"choices": []}', "no choices"),
    ],
)
async def test_a_body_that_is_no_chat_completion_is_a_failure_that_others_may_do_better(
    start_model, plays, closed, body, sentence
) -> None:
    model = await start_model(plays.answers(200, body))
    error = await failure(model.url, closed)
    assert sentence in str(error)
    assert (error.retryable, error.reason) == (True, "malformed")


async def test_empty_and_refused_answers_are_failures(start_model, plays, closed) -> None:
    for play, reason in [
        (plays.says(""), "empty"),
        (plays.says(" \n"), "empty"),
        (plays.says(None), "empty"),
        (plays.says(None, refusal="No."), "refused"),
        (plays.completes(message={"content": "A re"}, finish_reason="content_filter"), "refused"),
    ]:
        model = await start_model(play)
        error = await failure(model.url, closed)
        assert (error.retryable, error.reason) == (True, reason)


async def test_an_answer_of_10_mb_is_not_taken(start_model, plays, closed) -> None:
    model = await start_model(plays.says("x" * MIB_10))
    error = await failure(model.url, closed)
    assert error.reason == "malformed"
    assert str(MAX_BODY_BYTES) in str(error)


async def test_an_answer_without_end_is_read_up_to_the_bound_only(start_model, plays, closed) -> None:
    model = await start_model(plays.never_ends)
    assert (await failure(model.url, closed)).reason == "malformed"


async def test_a_compressed_answer_is_not_unpacked(start_model, plays, closed) -> None:
    model = await start_model(plays.answers(200, b"\x1f\x8b", Content_Encoding="gzip"))
    error = await failure(model.url, closed)
    assert "compressed" in str(error)
    assert model.received[0].headers["accept-encoding"] == "identity"


async def test_a_service_that_breaks_off_or_is_not_there_may_be_asked_again(start_model, plays, closed) -> None:
    model = await start_model(plays.breaks_off)
    url = model.url
    broken = await failure(url, closed)
    await model.close()
    absent = await failure(url, closed)
    for error in (broken, absent):
        assert (error.retryable, error.reason) == (True, "unavailable")
        assert error.retry_after_s is not None


async def test_a_service_that_hangs_is_left_at_the_deadline(start_model, plays, closed) -> None:
    model = await start_model(plays.hangs)
    request = LLMRequest(ASK.messages, "small-model", timeout_ms=50)
    with pytest.raises(LLMTimeoutError, match="within 50 ms") as caught:
        await ask(model.url, closed, request)
    assert (caught.value.retryable, caught.value.reason) == (True, "timeout")


async def test_a_question_that_is_cancelled_closes_its_connection(start_model, plays, closed) -> None:
    model = await start_model(plays.hangs)
    asking = asyncio.create_task(ask(model.url, closed))
    await model.asked(1)
    asking.cancel()
    async with asyncio.timeout(30):
        await model.received[0].gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    ("provider", "variable"), [(CerebrasProvider, "CEREBRAS_API_KEY"), (GroqProvider, "GROQ_API_KEY")]
)
async def test_the_documented_providers_take_their_key_from_the_environment(
    start_model, plays, closed, monkeypatch, provider, variable
) -> None:
    model = await start_model(plays.says("A red ball."))
    closed.append(provider(base_url=model.url))
    with pytest.raises(LLMProviderMisconfigured, match=variable) as caught:
        await closed[-1].complete(ASK)
    assert (caught.value.retryable, caught.value.reason) == (False, "not_configured")
    assert model.received == []

    monkeypatch.setenv(variable, f" {KEY}\n")
    closed.append(provider(base_url=model.url, name="mine"))
    assert isinstance(closed[-1], LLMProvider)
    assert (await closed[-1].complete(ASK)).provider == "mine"
    assert model.received[0].headers["authorization"] == f"Bearer {KEY}"

    closed.append(provider("another-key", base_url=model.url))
    await closed[-1].complete(ASK)
    assert model.received[1].headers["authorization"] == "Bearer another-key"


async def test_the_documented_function_asks_once(start_model, plays) -> None:
    model = await start_model(plays.says("A red ball."))
    response = await complete_openai_compatible(
        api_key=KEY, api_key_hint="SOME_KEY", base_url=model.url, provider_name="here", request=ASK
    )
    assert response.content == "A red ball."
    with pytest.raises(LLMProviderMisconfigured, match="SOME_KEY"):
        await complete_openai_compatible(
            api_key=None, api_key_hint="SOME_KEY", base_url=model.url, provider_name="here", request=ASK
        )


async def test_the_key_is_in_no_log_error_or_repr_whatever_happens(start_model, plays, closed, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    echoes = KEY.encode()
    for play in (
        plays.answers(401, echoes),
        plays.answers(500, echoes),
        plays.answers(200, echoes),
        plays.answers(302, echoes, Location="/elsewhere"),
        plays.breaks_off,
        plays.says(""),
    ):
        model = await start_model(play)
        error = await failure(model.url, closed, key=KEY)
        said += [repr(error), "".join(traceback.format_exception(error)), repr(closed[-1]), repr(closed[-1].endpoint)]
        assert model.received[0].headers["authorization"] == f"Bearer {KEY}"
    for wrong in (f"{KEY}\nX-Injected: 1", f"{KEY}é", f"{KEY} x"):
        error = await failure("http://127.0.0.1:9/v1", closed, key=wrong, api_key_env="HERE_KEY")
        assert isinstance(error, LLMProviderMisconfigured)
        assert "HERE_KEY" in str(error)
        said += [repr(error), "".join(traceback.format_exception(error))]
    assert "HTTP/1.1 401" in caplog.text, "the HTTP library logs nothing here, so this test shows nothing"
    assert KEY not in caplog.text
    assert not [text for text in said if KEY in text]


@given(st.binary() | st.text('{}[]":,choicesmag ').map(str.encode))
@example(b'{"choices": [{"message": {"content": "\xff"}}]}')
@example(b'{"choices": [{"message": {"content": "\\ud800"}}]}')
def test_any_body_is_an_answer_or_a_failure(body: bytes) -> None:
    try:
        answer = answer_of(body, "here")
    except LLMProviderError:
        return
    assert answer.strip()

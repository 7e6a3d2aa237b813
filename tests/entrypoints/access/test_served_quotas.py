"""Quotas over real sockets: what a client hears that wants too much, and when it may come again."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import websockets

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig, Quota, QuotasConfig
from fastvideo.api.schema import ServerConfig
from fastvideo.entrypoints.access.api_keys import key_digest

ANN, BEN = "fv_ann", "fv_ben"


def granted(per_key: Quota) -> ServerConfig:
    keys = [ApiKeyConfig("ann", key_digest(ANN)), ApiKeyConfig("ben", key_digest(BEN))]
    return ServerConfig(auth=AuthConfig(keys=keys), quotas=QuotasConfig(per_key=per_key))


def bearer(secret: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {secret}"}}


async def say(client: websockets.ClientConnection, kind: str, **fields: Any) -> None:
    await client.send(json.dumps({"type": kind, **fields}))


async def hears(client: websockets.ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        frame = await client.recv()
        if isinstance(frame, str) and (message := json.loads(frame))["type"] == kind:
            return message


async def last_error(client: websockets.ClientConnection) -> dict[str, Any]:
    error = await hears(client, "error")
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await client.recv()
    return error


async def test_a_session_too_many_is_refused_with_a_time_and_its_client_can_go_back_to_the_one_it_has(serving) -> None:
    async with serving(granted(Quota(max_sessions=1))) as served:
        async with served.connect(**bearer(ANN)) as first:
            await say(first, "session_init_v2")
            token = (await hears(first, "queue_status"))["resume_token"]
            await hears(first, "ltx2_stream_start")
            async with served.connect(**bearer(ANN)) as second:
                await say(second, "session_init_v2")
                error = await last_error(second)
                assert (error["code"], error["reason"]) == ("session_rejected", "rate_limited")
                assert error["retryable"]
                assert error["retry_after"] == 10.0
                assert (second.close_code, second.close_reason) == (1013, "rate_limited")
            async with served.connect(**bearer(BEN)) as other:
                # Another key's resume token is one that nobody knows.
                await say(other, "session_resume", resume_token=token, last_sequence=0)
                assert (await last_error(other))["reason"] == "resume_unknown"
            first.transport.abort()
            async with served.connect(**bearer(ANN)) as again:
                await say(again, "session_resume", resume_token=token, last_sequence=0, frames_after=3)
                assert (await hears(again, "queue_status"))["session_id"] == token.partition(".")[0]
        async with served.connect(**bearer(ANN)) as later:
            await say(later, "session_init_v2")
            await hears(later, "ltx2_stream_start")


async def test_messages_and_requests_beyond_the_rate_end_the_stream_with_a_time(serving) -> None:
    async with serving(granted(Quota(messages_per_second=4.0))) as served, served.connect(**bearer(ANN)) as client:
        await say(client, "session_init_v2")
        await hears(client, "ltx2_stream_start")
        with contextlib.suppress(websockets.ConnectionClosed):
            for number in range(200):
                await say(client, "ping", id=str(number))
        error = await last_error(client)
        assert (error["reason"], client.close_code, client.close_reason) == ("rate_limited", 1013, "rate_limited")
        assert 0 < error["retry_after"] <= 0.3
        answers = [
            await served.http.post("/v1/stream/tokens", headers=bearer(BEN)["additional_headers"]) for _ in "x" * 40
        ]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].json()["error"]["code"] == "rate_limited"


async def test_segments_beyond_an_hours_share_end_the_stream_with_a_time(serving) -> None:
    async with serving(granted(Quota(segments_per_hour=2))) as served, served.connect(**bearer(ANN)) as client:
        await say(client, "session_init_v2")
        for prompt in ("a boat", "a whale", "a storm"):
            await say(client, "segment_prompt_source", prompt=prompt)
        for _ in range(2):
            await hears(client, "ltx2_segment_complete")
        error = await last_error(client)
        assert (error["reason"], client.close_code) == ("rate_limited", 1013)
        assert "2 segments an hour" in error["message"]
        assert 3000 < error["retry_after"] <= 3600
        assert 'fastvideo_rejected_total{reason="quota_segments"} 1.0' in (await served.http.get("/metrics")).text

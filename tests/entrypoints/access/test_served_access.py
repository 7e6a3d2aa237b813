"""A server with keys, over real sockets: who is let in, and what the others hear before anything is accepted."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import websockets

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.schema import ServerConfig
from fastvideo.client import StreamClient, StreamError
from fastvideo.entrypoints.access.api_keys import key_digest, new_key
from fastvideo.entrypoints.streaming.listening import bind
from fastvideo.entrypoints.streaming.stream_server import serve

KEY, ADMIN_KEY = new_key(), new_key()


def auth(**more: Any) -> ServerConfig:
    keys = [ApiKeyConfig("viewer", key_digest(KEY))]
    admin_keys = [ApiKeyConfig("operator", key_digest(ADMIN_KEY))]
    return ServerConfig(auth=AuthConfig(keys=keys, admin_keys=admin_keys, **more))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def first_word(client: websockets.ClientConnection) -> Any:
    await client.send('{"type": "session_init_v2"}')
    return json.loads(await client.recv())["type"]


async def test_strangers_are_refused_before_the_handshake_is_accepted_and_the_log_stays_quiet(
    serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(auth()) as served:
        status, error = await served.refuses()
        assert (status, error["code"]) == (401, "unauthorized")
        for headers in (bearer("fv_wrong"), bearer(KEY[:-1]), {"X-Api-Key": KEY}):
            assert (await served.refuses(additional_headers=headers))[0] == 401
        assert (await served.refuses(subprotocols=["fastvideo.v1", "fastvideo.token.fvt1.a.b"]))[0] == 401
        for origin in ("https://evil.example", "null", f"http://127.0.0.1:{served.port}.evil.example"):
            status, _ = await served.refuses(additional_headers=bearer(KEY), origin=origin)
            assert status == 403
        served.url += f"?api_key={KEY}&token={KEY}"
        assert (await served.refuses())[0] == 401
        assert len(served.state.sessions) == 0
        metrics = (await served.http.get("/metrics")).text
        assert 'fastvideo_rejected_total{reason="foreign_origin"} 3.0' in metrics
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_page_gets_a_token_for_its_key_and_streams_with_it(serving) -> None:
    async with serving(auth()) as served:
        info = (await served.http.get("/v1/info")).json()
        assert info["features"]["keys_required"] is True
        assert (await served.http.post("/v1/stream/tokens")).status_code == 401
        answer = await served.http.post("/v1/stream/tokens", headers=bearer(KEY))
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert body["expires_in"] == 60.0
        assert body["subprotocols"] == ["fastvideo.v1", f"fastvideo.token.{body['token']}"]
        async with served.connect(subprotocols=body["subprotocols"], origin=f"http://127.0.0.1:{served.port}") as page:
            assert page.subprotocol == "fastvideo.v1"
            assert await first_word(page) == "queue_status"
        async with served.connect(additional_headers=bearer(body["token"])) as client:
            assert client.subprotocol is None
            assert await first_word(client) == "queue_status"
        assert (await served.http.post("/v1/stream/tokens", headers=bearer(body["token"]))).status_code == 401


async def test_the_python_client_streams_and_resumes_with_its_key_and_hears_when_it_is_wrong(
    serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(auth()) as served:
        with pytest.raises(StreamError, match="opens nothing here") as refused:
            await StreamClient.connect(served.url, api_key="fv_wrong")
        assert refused.value.message.reason == "unauthorized"
        monkeypatch.setenv("FASTVIDEO_API_KEY", KEY)
        async with await StreamClient.connect(served.url) as client:
            await client.segment("a boat")
            client._link.connection.transport.abort()
            await client.segment("a boat at sea")
            assert client.resumed == 1


async def test_operators_drain_and_read_metrics_from_elsewhere_with_their_key(serving) -> None:
    async with serving(auth()) as served:
        elsewhere = {"X-Forwarded-For": "192.0.2.1"}
        for method, path in (("GET", "/metrics"), ("POST", "/v1/admin/drain"), ("POST", "/v1/admin/prompts/reload")):
            for headers, status in (({}, 401), (bearer(KEY), 403)):
                answer = await served.http.request(method, path, headers={**elsewhere, **headers})
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, "unauthorized"), path
        admin = {**elsewhere, **bearer(ADMIN_KEY)}
        assert "fastvideo_sessions" in (await served.http.get("/metrics", headers=admin)).text
        async with served.connect(additional_headers=bearer(KEY)) as client:
            assert await first_word(client) == "queue_status"
            answer = await served.http.post("/v1/admin/drain", headers=admin)
            assert (answer.status_code, answer.json()) == (202, {"status": "draining", "sessions": 1})
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    await client.recv()
            assert client.close_code == 1001
        assert (await served.http.get("/readyz")).status_code == 503


async def test_without_keys_a_token_is_not_offered_and_a_key_is_ignored(serving) -> None:
    async with serving() as served:
        assert (await served.http.get("/v1/info")).json()["features"]["keys_required"] is False
        assert (await served.http.post("/v1/stream/tokens", headers=bearer("any"))).status_code == 404
        async with served.connect(additional_headers=bearer("any"), subprotocols=["fastvideo.v1"]) as client:
            assert await first_word(client) == "queue_status"


async def test_pages_of_a_listed_site_may_ask_for_tokens_and_others_may_not(serving) -> None:
    async with serving(auth(allowed_origins=["https://video.example"])) as served:
        preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        for origin, allowed in (("https://video.example", "https://video.example"), ("https://evil.example", None)):
            asked = await served.http.options("/v1/stream/tokens", headers={"origin": origin, **preflight})
            assert asked.headers.get("access-control-allow-origin") == allowed
        answer = await served.http.post("/v1/stream/tokens", headers={"origin": "https://video.example", **bearer(KEY)})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://video.example"


def test_a_server_that_others_can_reach_and_that_asks_for_no_keys_warns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastvideo.entrypoints.streaming import stream_server
    from fastvideo.entrypoints.streaming.mock_server import build_mock_app

    monkeypatch.setattr(stream_server.StreamServer, "run", lambda self, sockets: None)
    for host, warned in (("0.0.0.0", True), ("127.0.0.1", False)):
        with bind(host, 0) as listener:
            serve(build_mock_app(), "a server", listener)
        assert ("WARNING: anybody who can reach" in capsys.readouterr().err) is warned

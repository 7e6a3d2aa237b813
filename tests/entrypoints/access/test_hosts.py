"""By which names a server may be asked for, so that no page of another site can lead its own name here."""

from __future__ import annotations

import socket

import httpx
import pytest
import websockets
from starlette.datastructures import Headers

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.schema import ServerConfig
from fastvideo.entrypoints.access.api_keys import key_digest
from fastvideo.entrypoints.access.hosts import allowed_names, asked_hosts, host_allowed
from fastvideo.entrypoints.streaming.mock_server import build_mock_app

KEYS = [ApiKeyConfig("viewer", key_digest("fv_viewer"))]
ROUTES = ("/v1/info", "/v1/presets", "/v1/stream/tokens", "/v1/sessions", "/v1/videos", "/v1/nothing", "/v1")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:8000", "192.0.2.7:80", "[::1]", "[::1]:8000", "[2001:db8::7]:9"),
        *("localhost", "LocalHost:8000", "listed.example:1", "page.example", "page.example:443"),
        *(socket.gethostname(), f"{socket.gethostname()}:8000", f"{socket.gethostname().partition('.')[0]}.local"),
    ],
)
def test_addresses_this_machine_and_listed_names_are_allowed(host: str) -> None:
    auth = AuthConfig(allowed_origins=["https://page.example:8443"], allowed_hosts=["listed.example"])
    assert host_allowed(host, allowed_names(auth))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "", " ", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("127-0-0-1.evil.example", "127.0.0.1.nip.io", "xlocalhost", "localhostx", "local_host", "localhost."),
        *("evil.example@127.0.0.1", "127.0.0.1@evil.example", "evil.example#127.0.0.1", "evil.example/127.0.0.1"),
        *("127.0.0.1, evil.example", "127.0.0.1 evil.example", "127.0.0.1\\evil.example", "127.0.0.1:80:80"),
        *("2130706433", "0x7f000001", "127.1", "0177.0.0.1", "127.0.0.1.", "::1", "[::1", "::1]", "[::1].evil.example"),
        *("[evil.example]", "listed.example.evil.example", "notlisted.example", "*.example", "١٢٧.0.0.1", "locаlhost"),
        *("localhost:port", "localhost:", "localhost\n", "localhost:8000\r\nx: y"),
    ],
)
def test_names_that_could_lead_anywhere_and_look_alikes_are_not(host: str) -> None:
    assert not host_allowed(host, allowed_names(AuthConfig(allowed_hosts=["listed.example"])))


def test_what_a_proxy_says_it_was_asked_for_is_looked_at_too_and_replaces_nothing() -> None:
    def hosts(*raw: tuple[str, str]) -> list[str]:
        return asked_hosts(Headers(raw=[(key.encode(), value.encode()) for key, value in raw]))

    assert hosts(("host", "a")) == ["a"]
    assert hosts() == []
    assert hosts(("host", "a"), ("x-forwarded-host", "b, c"), ("x-forwarded-host", "d")) == ["a", "b", "c", "d"]
    assert hosts(("host", "a"), ("x-forwarded-host", " ")) == ["a"]
    assert hosts(("host", "a"), ("host", "b")) == ["a", "b"]


async def status_of_stream(port: int, name: str, **headers: str) -> int:
    """The status that a page at ``http://name:port`` gets, whose name leads to this machine."""
    try:
        async with websockets.connect(
            f"ws://{name}:{port}/v1/stream",
            host="127.0.0.1",
            port=port,
            origin=websockets.Origin(f"http://{name}:{port}"),
            additional_headers=headers,
            proxy=None,
        ):
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code


async def test_a_page_whose_own_name_leads_to_the_server_gets_403_before_anything_is_accepted(serving) -> None:
    async with serving() as served:
        for name in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io"):
            assert await status_of_stream(served.port, name) == 403
            for path in ROUTES:
                answer = await served.http.get(path, headers={"host": f"{name}:{served.port}"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "unauthorized"), path
        forwarded = {"X-Forwarded-Host": "evil.example"}
        assert await status_of_stream(served.port, "localhost", **forwarded) == 403
        assert (
            await served.http.get("/v1/info", headers={"host": "evil.example", "x-forwarded-host": "localhost"})
        ).status_code == 403
        assert len(served.state.sessions) == 0
        for name in ("localhost", "127.0.0.1", socket.gethostname().lower()):
            assert await status_of_stream(served.port, name) == 101
            assert (await served.http.get("/v1/info", headers={"host": name})).status_code == 200
        for path in ("/healthz", "/readyz", "/health"):
            assert (await served.http.get(path, headers={"host": "server-1:8000"})).status_code in (200, 503)
        assert 'fastvideo_rejected_total{reason="foreign_host"}' in (await served.http.get("/metrics")).text


async def test_a_caller_in_the_same_process_goes_by_any_one_name() -> None:
    transport = httpx.ASGITransport(build_mock_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        assert (await http.get("/v1/info")).status_code == 200
        assert (await http.get("/v1/info", headers={"host": "evil.example"})).status_code == 403


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (ServerConfig(), 403),
        (ServerConfig(host="127.0.0.1", auth=AuthConfig(keys=KEYS)), 403),
        (ServerConfig(host="localhost", auth=AuthConfig(keys=KEYS)), 403),
        (ServerConfig(host="0.0.0.0", auth=AuthConfig(keys=KEYS)), 200),
        (ServerConfig(auth=AuthConfig(trusted_proxies=["127.0.0.1"])), 403),
        (ServerConfig(auth=AuthConfig(allowed_hosts=["video.example"])), 200),
        (ServerConfig(auth=AuthConfig(allowed_origins=["https://video.example"])), 200),
    ],
)
async def test_names_count_on_loopback_and_without_keys(serving, server: ServerConfig, status: int) -> None:
    async with serving(server) as served:
        answer = await served.http.get("/v1/info", headers={"host": "video.example"})
        assert answer.status_code == status

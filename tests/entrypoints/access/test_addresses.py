"""What counts as this machine, and by which address a client is counted."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from fastvideo.entrypoints.access.addresses import client_address, from_this_machine

LOCAL = {"host": "localhost:8000"}


def asked(client: str | None, headers: dict[str, str]) -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "client": (client, 5000) if client else None, "headers": raw})


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8000", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000"])
@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_a_client_on_this_machine_that_asks_for_it_by_its_name_is_from_here(client: str, host: str) -> None:
    assert from_this_machine(asked(client, {"host": host}))


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.1", LOCAL),
        ("::ffff:192.0.2.1", LOCAL),
        ("testclient", LOCAL),
        (None, LOCAL),
        ("127.0.0.1", {"host": "video.example"}),
        ("127.0.0.1", {"host": "127.0.0.1.video.example"}),
        ("127.0.0.1", {"host": "localhost.video.example"}),
        ("127.0.0.1", {"host": "localhost@video.example"}),
        ("127.0.0.1", {"host": "[::1"}),
        ("127.0.0.1", {}),
        ("127.0.0.1", {**LOCAL, "x-forwarded-for": "192.0.2.1"}),
        ("127.0.0.1", {**LOCAL, "x-forwarded-for": "127.0.0.1"}),
        ("127.0.0.1", {**LOCAL, "x-forwarded-host": "localhost"}),
        ("127.0.0.1", {**LOCAL, "x-forwarded-proto": "https"}),
        ("127.0.0.1", {**LOCAL, "forwarded": "for=192.0.2.1"}),
        ("127.0.0.1", {**LOCAL, "via": "1.1 proxy"}),
        ("127.0.0.1", {**LOCAL, "x-real-ip": "192.0.2.1"}),
    ],
)
def test_others_and_clients_of_a_proxy_and_pages_that_were_led_here_are_not(
    client: str | None, headers: dict[str, str]
) -> None:
    assert not from_this_machine(asked(client, headers))


@pytest.mark.parametrize(
    ("client", "forwarded", "trusted", "counted"),
    [
        ("192.0.2.1", None, [], "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", [], "192.0.2.1"),
        ("10.0.0.2", "198.51.100.7", ["10.0.0.0/8"], "198.51.100.7"),
        ("10.0.0.2", "203.0.113.9, 198.51.100.7", ["10.0.0.0/8"], "198.51.100.7"),
        ("10.0.0.2", "198.51.100.7, 10.0.0.3", ["10.0.0.0/8"], "198.51.100.7"),
        ("10.0.0.2", "not an address", ["10.0.0.0/8"], "unknown"),
        ("::ffff:192.0.2.1", None, [], "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", None, [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, [], "2001:db8:1:2::/64"),
        (None, None, [], "unknown"),
    ],
)
def test_a_client_is_counted_by_what_a_trusted_peer_says_or_is(
    client: str | None, forwarded: str | None, trusted: list[str], counted: str
) -> None:
    headers = {"x-forwarded-for": forwarded} if forwarded is not None else {}
    assert client_address(asked(client, headers), trusted) == counted

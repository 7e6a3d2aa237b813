from __future__ import annotations

from typing import Literal

import pytest
from starlette.requests import Request

from fastvideo.entrypoints.streaming.recordings.access import may_list

LOCAL = {"host": "localhost:8000"}


def request(client: str, headers: dict[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "client": (client, 5000), "headers": raw})


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8000", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000"])
@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_clients_on_this_machine_may_list(client: str, host: str) -> None:
    assert may_list(request(client, {"host": host}), "loopback")


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.1", LOCAL),
        ("::ffff:192.0.2.1", LOCAL),
        ("testclient", LOCAL),
        ("127.0.0.1", {"host": "video.example"}),
        ("127.0.0.1", {"host": "127.0.0.1.video.example"}),
        ("127.0.0.1", {"host": "[::1"}),
        ("127.0.0.1", {}),
        ("127.0.0.1", {**LOCAL, "x-forwarded-for": "192.0.2.1"}),
        ("127.0.0.1", {**LOCAL, "forwarded": "for=192.0.2.1"}),
        ("127.0.0.1", {**LOCAL, "via": "1.1 proxy"}),
        ("127.0.0.1", {**LOCAL, "x-real-ip": "192.0.2.1"}),
    ],
)
def test_others_and_clients_of_a_proxy_and_pages_that_were_led_here_may_not(
    client: str, headers: dict[str, str]
) -> None:
    assert not may_list(request(client, headers), "loopback")


@pytest.mark.parametrize(("listing", "may"), [("everyone", True), ("nobody", False)])
def test_the_operator_may_say_otherwise(listing: Literal["everyone", "nobody"], may: bool) -> None:
    assert may_list(request("192.0.2.1", {"host": "video.example"}), listing) is may
    assert may_list(request("127.0.0.1", LOCAL), listing) is may

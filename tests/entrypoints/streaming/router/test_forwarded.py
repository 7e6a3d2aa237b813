"""What a replica hears about a client is true, or was said by a proxy that is trusted."""

import pytest

from fastvideo.entrypoints.access.networks import is_trusted
from fastvideo.entrypoints.streaming.router.forwarded import end_to_end, for_replica

CLIENT = [
    ("host", "video.example"),
    ("origin", "https://video.example"),
    ("authorization", "Bearer key"),
    ("connection", "Upgrade, X-Secret-Hop"),
    ("upgrade", "websocket"),
    ("x-secret-hop", "1"),
    ("sec-websocket-key", "abc"),
    ("sec-websocket-protocol", "a, b"),
    ("content-length", "12"),
    ("expect", "100-continue"),
    ("x-forwarded-for", "6.6.6.6"),
    ("X-Forwarded-For", "7.7.7.7"),
    ("forwarded", "for=6.6.6.6"),
    ("x-real-ip", "6.6.6.6"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "outside.example"),
    ("cookie", "a=b"),
]


def test_a_client_cannot_say_that_it_is_somebody_else():
    told = for_replica(CLIENT, peer="203.0.113.9", scheme="http")
    assert told == [
        ("host", "video.example"),
        ("origin", "https://video.example"),
        ("authorization", "Bearer key"),
        ("cookie", "a=b"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "video.example"),
    ]


def test_what_a_trusted_proxy_says_is_passed_on_with_its_own_address():
    told = dict(for_replica(CLIENT, peer="10.1.2.3", scheme="http", trusted_proxies=["10.0.0.0/8"]))
    assert told["X-Forwarded-For"] == "6.6.6.6, 7.7.7.7, 10.1.2.3"
    assert told["X-Forwarded-Proto"] == "https"
    assert told["X-Forwarded-Host"] == "outside.example"
    assert not {"forwarded", "x-real-ip", "x-forwarded-for"} & set(told)


def test_a_peer_without_an_address_is_nobody():
    told = dict(for_replica(CLIENT, peer=None, scheme="http", trusted_proxies=["0.0.0.0/0"]))
    assert "X-Forwarded-For" not in told


@pytest.mark.parametrize(
    ("peer", "networks", "trusted"),
    [
        ("10.0.0.1", ["10.0.0.1"], True),
        ("10.0.0.2", ["10.0.0.1"], False),
        ("::1", ["10.0.0.0/8", "::1"], True),
        ("10.0.0.1", ["::/0"], False),
        ("testclient", ["0.0.0.0/0"], False),
    ],
)
def test_trust_is_by_address_and_network(peer, networks, trusted):
    assert is_trusted(peer, networks) is trusted


def test_headers_about_one_connection_stay_on_it():
    kept = end_to_end([("Connection", "close, x-b"), ("X-B", "1"), ("TE", "x"), ("Range", "bytes=0-1")])
    assert kept == [("Range", "bytes=0-1")]

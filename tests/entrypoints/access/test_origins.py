"""Whose pages may use a server."""

from __future__ import annotations

import pytest

from fastvideo.entrypoints.access.origins import origin_allowed

ALLOWED = ["https://video.example", "http://other.example:8080"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "a:1"),
        ("http://a:1", "a:1"),
        ("https://A.example", "a.example"),
        ("http://a.example", "a.example:80"),
        ("https://a.example", "a.example:443"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://video.example", "a:1"),
        ("HTTPS://Video.example", "a:1"),
        ("http://other.example:8080", "a:1"),
    ],
)
def test_pages_of_the_same_host_and_those_that_are_listed_may(origin: str | None, host: str) -> None:
    assert origin_allowed(origin, host, ALLOWED)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "a:1"),
        ("null", ""),
        ("", ""),
        ("", "a:1"),
        ("http://a:2", "a:1"),
        ("http://a.evil", "a"),
        ("http://evil.a", "a"),
        ("http://a:1.evil.example", "a:1"),
        ("http://a:1@evil.example", "a:1"),
        ("http://evil.example@a:1", "a:1"),
        ("http://a:1/evil", "a:1"),
        ("http://a:1 ", "a:1"),
        ("http://a:1\n", "a:1"),
        ("//a:1", "a:1"),
        ("ftp://a:1", "a:1"),
        ("file://", ""),
        ("http://", ""),
        ("http://[", "["),
        ("http://а:1", "a:1"),  # a Cyrillic letter
        ("https://a.example", "a.example:80"),
        ("http://video.example", "a:1"),
        ("https://video.example.evil.example", "a:1"),
        ("https://video.example:8443", "a:1"),
        ("http://a:1, http://evil.example", "a:1"),
    ],
)
def test_foreign_null_and_look_alike_origins_may_not(origin: str, host: str) -> None:
    assert not origin_allowed(origin, host, ALLOWED)

"""Where a server is, by what people write."""

from __future__ import annotations

import pytest

from fastvideo.client.address import ServerAddress


@pytest.mark.parametrize(
    ("text", "http_url", "stream_url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/stream"),
        ("https://video.example/", "https://video.example", "wss://video.example/v1/stream"),
        ("https://example.org/video/v1/", "https://example.org/video", "wss://example.org/video/v1/stream"),
        ("http://[::1]:9", "http://[::1]:9", "ws://[::1]:9/v1/stream"),
    ],
)
def test_an_address_has_both_its_doors(text: str, http_url: str, stream_url: str) -> None:
    assert ServerAddress.parse(text) == ServerAddress(http_url, stream_url)


@pytest.mark.parametrize("text", ["", "127.0.0.1:8000", "ws://a", "http://", "http://a?b=c", "http://a#b", "ftp://a"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as http://127\.0\.0\.1:8000, got"):
        ServerAddress.parse(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        ServerAddress.parse("http://me:secret@a")
    assert "secret" not in str(caught.value)

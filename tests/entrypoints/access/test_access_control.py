"""Who gets in, by what they show; nothing here opens a socket."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.access.access_control import TOKEN_SUBPROTOCOL, AccessControl
from fastvideo.entrypoints.access.api_keys import key_digest
from fastvideo.entrypoints.access.caller import AccessRefused, Caller
from fastvideo.entrypoints.access.key_file import append_key

KEY, ADMIN_KEY = "fv_client", "fv_admin"
KEYS = [ApiKeyConfig("viewer", key_digest(KEY))]
ADMIN_KEYS = [ApiKeyConfig("operator", key_digest(ADMIN_KEY))]


def asked(kind: str = "http", client: str = "192.0.2.1", offers: list[str] | None = None, **headers: str) -> Any:
    named = {"host": "video.example", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    scope = {"type": kind, "client": (client, 5), "headers": raw, "path": "/", "query_string": b""}
    return HTTPConnection({**scope, **({"subprotocols": offers or []} if kind == "websocket" else {})})


def bearer(secret: str, kind: str = "websocket", **headers: str) -> Any:
    return asked(kind, authorization=f"Bearer {secret}", **headers)


class Doors:
    """Access control with a clock of the test's own, and the refusals that were counted."""

    def __init__(self, **auth: Any) -> None:
        self.now_s = 1_800_000_000.0
        self.counted: list[str] = []
        self.access = AccessControl(AuthConfig(**auth), clock=lambda: self.now_s, refused=self.counted.append)

    def refuses(self, connection: HTTPConnection, *, admin: bool = False) -> int:
        with pytest.raises(AccessRefused) as refused:
            (self.access.admin if admin else self.access.client)(connection)
        return refused.value.status

    def token(self) -> str:
        return self.access.issue_token(self.access.client(bearer(KEY, "http")))


def test_without_keys_everybody_may_come_and_what_they_show_is_ignored() -> None:
    doors = Doors()
    assert not doors.access.required
    for connection in (asked(), bearer("nonsense"), asked("websocket", offers=["fastvideo.token.x"])):
        assert doors.access.client(connection) == Caller(None, "192.0.2.1")


def test_with_keys_a_key_opens_and_says_whose_it_is() -> None:
    doors = Doors(keys=KEYS, admin_keys=ADMIN_KEYS)
    assert doors.access.client(bearer(KEY)) == Caller("viewer", "192.0.2.1")
    assert doors.access.client(bearer(ADMIN_KEY, "http")) == Caller("operator", "192.0.2.1", admin=True)
    assert doors.access.client(asked(authorization=f"bearer   {KEY} ")).key == "viewer"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {key_digest(KEY)}"},
        {"x_api_key": KEY},
        {"cookie": f"key={KEY}"},
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_with_keys_nothing_else_opens_also_on_this_machine(kind: str, headers: dict[str, str]) -> None:
    doors = Doors(keys=KEYS)
    assert doors.refuses(asked(kind, **headers)) == 401
    assert doors.refuses(asked(kind, client="127.0.0.1", **{"host": "localhost", **headers})) == 401


def test_a_token_opens_a_stream_by_header_or_subprotocol_for_its_time_and_nothing_else() -> None:
    doors = Doors(keys=KEYS, token_seconds=10.0)
    token = doors.token()
    by_subprotocol = asked("websocket", offers=["fastvideo.v1", TOKEN_SUBPROTOCOL + token])
    assert doors.access.client(by_subprotocol).key == "viewer"
    assert doors.access.client(bearer(token)).key == "viewer"
    assert doors.refuses(bearer(token, "http")) == 401
    doors.now_s += 12.0
    assert doors.refuses(by_subprotocol) == 401
    assert doors.refuses(bearer(token)) == 401
    assert doors.counted == ["wrong_key", "expired_token", "expired_token"]


def test_tokens_of_other_servers_and_of_keys_that_are_gone_open_nothing() -> None:
    doors = Doors(keys=KEYS)
    assert doors.refuses(bearer(Doors(keys=KEYS).token())) == 401
    assert doors.refuses(asked("websocket", offers=[TOKEN_SUBPROTOCOL])) == 401
    assert doors.refuses(asked("websocket", offers=["fastvideo.v1", KEY])) == 401


def test_a_key_that_is_revoked_or_replaced_takes_its_tokens_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.yaml"
    append_key(path, KEYS[0], admin=False)
    doors = Doors(keys_file=str(path))
    token = doors.token()
    assert doors.access.client(bearer(token)).key == "viewer"
    path.write_text(f"keys: [{{name: viewer, sha256: {key_digest('another')}}}]")
    assert doors.refuses(bearer(token)) == 401
    assert doors.refuses(bearer(KEY)) == 401
    assert doors.access.client(bearer("another")).key == "viewer"
    with caplog.at_level(logging.ERROR):
        path.write_text(f"keys: [{KEYS[0].sha256}]")
        assert doors.access.client(bearer("another")).key == "viewer"
    assert "stay as they were" in caplog.text


def test_an_empty_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.touch()
    doors = Doors(keys_file=str(path))
    assert doors.access.required
    assert doors.refuses(asked()) == 401


def test_servers_with_a_secret_in_common_honour_each_others_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_SECRET", "x" * 40)
    one, other = (Doors(keys=KEYS, token_secret_env="STREAM_SECRET") for _ in range(2))
    assert one.access.client(bearer(other.token())).key == "viewer"
    monkeypatch.setenv("STREAM_SECRET", "short")
    with pytest.raises(ConfigValidationError, match=r"at least 32 characters.*STREAM_SECRET"):
        Doors(keys=KEYS, token_secret_env="STREAM_SECRET")


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://video.example.evil.example"])
def test_pages_of_other_sites_are_refused_before_their_key_is_looked_at(origin: str) -> None:
    for doors in (Doors(), Doors(keys=KEYS)):
        for kind in ("http", "websocket"):
            assert doors.refuses(bearer(KEY, kind, origin=origin)) == 403
            assert doors.refuses(bearer(ADMIN_KEY, kind, origin=origin), admin=True) == 403
        assert set(doors.counted) == {"foreign_origin"}
    assert Doors(allowed_origins=["https://evil.example"]).access.client(asked(origin="https://evil.example"))


def test_what_is_for_operators_opens_on_this_machine_and_with_an_admin_key() -> None:
    doors = Doors(keys=KEYS, admin_keys=ADMIN_KEYS)
    here = asked(client="127.0.0.1", host="localhost:8000")
    assert doors.access.admin(here).admin
    assert doors.access.admin(bearer(ADMIN_KEY, "http")) == Caller("operator", "192.0.2.1", admin=True)
    assert doors.refuses(bearer(KEY, "http"), admin=True) == 403
    assert doors.refuses(bearer("wrong", "http"), admin=True) == 401
    assert doors.refuses(asked(), admin=True) == 401
    assert doors.refuses(asked(client="127.0.0.1", host="localhost", x_forwarded_for="192.0.2.9"), admin=True) == 401
    assert Doors(keys=KEYS).refuses(bearer(KEY, "http"), admin=True) == 403


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ({"keys": [*KEYS, *KEYS]}, "server.auth"),
        ({"trusted_proxies": ["10.0.0.0/40"]}, r"server\.auth\.trusted_proxies\[0\]"),
        ({"keys_file": "/nowhere/keys.yaml"}, r"server\.auth\.keys_file"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_its_path(auth: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigValidationError, match=path):
        Doors(**auth)

"""Stream tokens: signed, short-lived, and bound to a key."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastvideo.entrypoints.access.api_keys import key_digest
from fastvideo.entrypoints.access.stream_tokens import StreamTokens, TokenExpired, TokenInvalid

SECRET = b"s" * 32
NOW_S = 1_800_000_000.0
DIGEST = key_digest("fv_x")
TOKENS = StreamTokens(SECRET, 60.0)
TOKEN = TOKENS.issue("viewer", DIGEST, NOW_S)


def test_a_token_says_whose_it_is_until_it_is_over() -> None:
    said = TOKENS.read(TOKEN, NOW_S + 60.0)
    assert said.key_name == "viewer"
    assert said.is_of(DIGEST)
    assert not said.is_of(key_digest("fv_y"))
    with pytest.raises(TokenExpired):
        TOKENS.read(TOKEN, NOW_S + 61.0)


def test_a_token_fits_into_a_subprotocol_and_is_never_the_same_twice() -> None:
    assert set(TOKEN) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert TOKENS.issue("viewer", DIGEST, NOW_S) != TOKEN
    assert "fv_x" not in TOKEN
    assert DIGEST not in TOKEN


def test_servers_honour_each_others_tokens_only_when_they_share_a_secret() -> None:
    assert StreamTokens(SECRET, 5.0).read(TOKEN, NOW_S).key_name == "viewer"
    with pytest.raises(TokenInvalid):
        StreamTokens(b"t" * 32, 60.0).read(TOKEN, NOW_S)
    with pytest.raises(ValueError, match="32 bytes"):
        StreamTokens(b"short", 60.0)


def test_an_old_token_is_renewed_for_the_same_key_and_a_foreign_one_never() -> None:
    renewed = TOKENS.renewed(TOKEN, NOW_S + 1000.0)
    said = TOKENS.read(renewed, NOW_S + 1000.0)
    assert (said.key_name, said.is_of(DIGEST)) == ("viewer", True)
    with pytest.raises(TokenInvalid):
        StreamTokens(b"t" * 32, 60.0).renewed(TOKEN, NOW_S)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_a_token_of_which_any_character_was_changed_is_invalid(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    if changed != TOKEN:
        # The last character of a signature holds bits that stand for nothing; its text is compared, not its bytes.
        with pytest.raises(TokenInvalid):
            TOKENS.read(changed, NOW_S)


@given(st.text(max_size=600))
@example("")
@example("fvt1.")
@example("fvt1.e30.")
@example("..")
@example("fvt1." + "a" * 600 + ".b")
def test_nothing_but_a_token_is_one(text: str) -> None:
    with contextlib.suppress(TokenInvalid):
        TOKENS.read(text, NOW_S)
        raise AssertionError(f"{text!r} was taken for a token")

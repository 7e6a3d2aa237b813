"""Keys, and the rings and files that hold their hashes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.access_config import ApiKeyConfig
from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.access.api_keys import KeyRing, key_digest, new_key
from fastvideo.entrypoints.access.key_file import KeyFile, append_key


def entry(name: str, secret: str) -> ApiKeyConfig:
    return ApiKeyConfig(name, key_digest(secret))


def test_a_key_has_256_random_bits_and_the_ring_knows_whose_it_is() -> None:
    ours, theirs = new_key(), new_key()
    assert ours != theirs
    assert len(ours) >= 43
    ring = KeyRing([entry("viewer", ours)], [entry("operator", theirs)])
    found, operator = ring.find(ours), ring.find(theirs)
    assert found is not None
    assert (found.name, found.admin) == ("viewer", False)
    assert operator is not None
    assert operator.admin
    assert ring.find(new_key()) is None
    assert ours not in repr(found)


@given(st.text(max_size=80))
def test_whatever_is_shown_that_is_no_key_is_none(shown: str) -> None:
    ring = KeyRing([entry("viewer", "fv_a")])
    assert (ring.find(shown) is not None) == (shown == "fv_a")


def test_a_ring_takes_each_name_and_each_key_once() -> None:
    with pytest.raises(ValueError, match="names, got 'a' twice"):
        KeyRing([entry("a", "x")], [entry("a", "y")])
    with pytest.raises(ValueError, match="twice"):
        KeyRing([entry("a", "x"), entry("b", "x")])


def test_keys_are_appended_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    append_key(path, entry("viewer", "x"), admin=False)
    append_key(path, entry("operator", "y"), admin=True)
    assert path.stat().st_mode & 0o777 == 0o600
    keys = KeyFile(str(path)).keys
    assert ([key.name for key in keys.keys], [key.name for key in keys.admin_keys]) == (["viewer"], ["operator"])
    with pytest.raises(ValueError, match="called 'viewer' already"):
        append_key(path, entry("viewer", "z"), admin=False)
    with pytest.raises(ValueError, match=r"\.yaml"):
        append_key(tmp_path / "keys.txt", entry("viewer", "z"), admin=False)


def test_a_file_of_keys_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.yaml"
    append_key(path, entry("viewer", "x"), admin=False)
    file = KeyFile(str(path))
    assert not file.changed()
    append_key(path, entry("second", "y"), admin=False)
    assert file.changed()
    assert [key.name for key in file.keys.keys] == ["viewer", "second"]
    for broken in ("keys: [", "keys: [{name: a, sha256: short}]", "kes: []"):
        path.write_text(broken)
        with caplog.at_level(logging.ERROR):
            assert not file.changed()
        assert "stay as they were" in caplog.text
        caplog.clear()
    path.unlink()
    assert not file.changed()
    assert [key.name for key in file.keys.keys] == ["viewer", "second"]


@pytest.mark.parametrize("text", [None, "keys: [{name: a}]", "keys: [{name: a/b, sha256: x}]"])
def test_a_server_does_not_start_with_a_file_of_keys_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigValidationError, match="keys_file"):
        KeyFile(str(path))

"""The page at a server that asks for keys, in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastvideo.api.access_config import ApiKeyConfig
from fastvideo.entrypoints.access.api_keys import key_digest, new_key
from fastvideo.entrypoints.access.key_file import append_key

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def test_the_page_asks_for_a_key_streams_with_it_and_shows_it_nowhere(
    start_server: Callable[..., Any], open_page: Callable[..., Any], tmp_path: Path
) -> None:
    key, path = new_key(), tmp_path / "keys.yaml"
    append_key(path, ApiKeyConfig("viewer", key_digest(key)), admin=False)
    config = ("--config", "configs/serve_mock.yaml", "--server.port", "0", "--server.auth.keys_file", str(path))
    server = start_server("-m", "fastvideo.entrypoints.cli.main", "serve", *config)
    page = open_page(server.url, keep_going=True)
    page.until("document.getElementById('key-dialog').open")
    page.page.fill("#key", "fv_wrong")
    page.page.press("#key", "Enter")
    page.page.fill("#prompt", "a boat on a lake")
    page.page.press("#prompt", "Enter")
    page.until("document.getElementById('key-dialog').open")
    assert page.page.is_visible(".key__wrong")
    page.page.fill("#key", key)
    page.page.press("#key", "Enter")
    page.until("__fastvideo.session.phase === 'active' && __fastvideo.session.firstFrame_ms !== null")
    assert page.session["segments"][0]["prompt"] == "a boat on a lake"

    page.page.reload()
    page.until("__fastvideo.state.info?.features.keys_required")
    assert not page.read("document.getElementById('key-dialog').open"), "the tab keeps its key"
    assert key not in page.page.url
    assert key not in page.page.content()
    # The browser's own note of the key that was wrong.
    assert all("401" in problem for problem in page.problems)
    page.problems.clear()
    assert key not in server.output
    assert "fvt1." not in server.output

"""The page for operators, in Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.sync.client import connect

from fastvideo.api.access_config import ApiKeyConfig
from fastvideo.entrypoints.access.api_keys import key_digest, new_key
from fastvideo.entrypoints.access.key_file import append_key

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

MOCK = ("-m", "fastvideo.entrypoints.streaming.mock_server", "--port", "0", "--rtf", "0.9", "--segment-cap", "1000")
SIZES = [(1280, 800), (400, 800)]


def wide(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_an_operator_sees_sessions_and_workers_and_drains_the_server(
    start_server: Callable[..., Any], chromium: Browser
) -> None:
    server = start_server(*MOCK)
    problems: list[str] = []
    address = f"ws{server.url.removeprefix('http')}/v1/stream"
    with connect(address, compression=None, proxy=None) as viewer:
        viewer.send(json.dumps({"type": "session_init_v2"}))
        look_and_drain(server.url, chromium, problems)
    assert problems == []


def look_and_drain(url: str, chromium: Browser, problems: list[str]) -> None:
    for scheme in ("light", "dark"):
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        try:
            page = context.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
            answer = page.goto(f"{url}/admin")
            assert answer is not None
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            row = page.locator("#sessions tr")
            expect(row).to_have_count(1)
            expect(row).to_contain_text("127.0.0.0/24")
            expect(page.locator("#workers tr")).to_have_count(1)
            expect(page.locator("#total-sessions")).to_have_text("1 of 64")
            before = row.locator("[data-label=Age]").inner_text()
            expect(row.locator("[data-label=Age]")).not_to_have_text(before)
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                expect(page.locator("#drain")).to_be_visible()
                assert wide(page) <= 0, f"{width} px, {scheme}"
            if scheme == "dark":
                page.click("#drain")
                expect(page.locator("#status-text")).to_have_text("In service")
                page.click("#drain")
                expect(page.locator("#status-text")).to_have_text("Draining")
                expect(page.locator("#drain")).to_be_disabled()
                expect(row).to_have_count(0)
                expect(page.locator("#no-sessions")).to_be_visible()
        finally:
            context.close()


def test_without_rights_the_page_shows_nothing_but_asks_for_an_admin_key(
    start_server: Callable[..., Any], chromium: Browser, tmp_path: Path
) -> None:
    viewer, operator, path = new_key(), new_key(), tmp_path / "keys.yaml"
    append_key(path, ApiKeyConfig("viewer", key_digest(viewer)), admin=False)
    append_key(path, ApiKeyConfig("operator", key_digest(operator)), admin=True)
    config = ("--config", "configs/serve_mock.yaml", "--server.port", "0", "--server.auth.keys_file", str(path))
    server = start_server("-m", "fastvideo.entrypoints.cli.main", "serve", *config)
    # What a proxy adds makes a client one of another machine.
    context = chromium.new_context(extra_http_headers={"X-Forwarded-For": "192.0.2.7"})
    try:
        page = context.new_page()
        answers: list[int] = []
        page.on(
            "response",
            lambda answer: answers.append(answer.status) if answer.url.endswith("/v1/admin/overview") else None,
        )
        page.goto(f"{server.url}/admin")
        expect(page.locator("#door")).to_be_visible()
        expect(page.locator("#shown")).to_be_hidden()
        for key in (viewer, operator):
            page.fill("#key", key)
            with page.expect_response("**/v1/admin/overview"):
                page.press("#key", "Enter")
        expect(page.locator("#shown")).to_be_visible()
        expect(page.locator("#door")).to_be_hidden()
        assert answers[:3] == [401, 403, 200], "nobody, a viewer, an operator"
        assert operator not in page.content()
        assert operator not in page.url
    finally:
        context.close()
    assert operator not in server.output

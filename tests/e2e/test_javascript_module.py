"""docs/javascript.md: its page, served from another origin, streams from a server that lets it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/javascript.md").read_text("utf-8")


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder, served without a word."""

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def site(folder: Path) -> Iterator[str]:
    """A folder as a site of its own; gives its origin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, name="site")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextlib.contextmanager
def opened(chromium: Browser, address: str) -> Iterator[tuple[Page, list[str]]]:
    with contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(address)
        yield page, problems


def allowed_origin(server: str, origin: str) -> str | None:
    """What the server lets a page of that origin do with the module."""
    request = urllib.request.Request(server + "/js/fastvideo.js", headers={"Origin": origin})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["access-control-allow-origin"]


def test_the_documents_page_plays_from_another_origin_and_no_other_may(
    start_server: Callable[..., Any], chromium: Browser, tmp_path: Path
) -> None:
    (code,) = re.findall(r"```html\n(.*?)```", DOCUMENT, re.S)
    with site(tmp_path) as ours, site(tmp_path) as strange:
        config = (
            "--config",
            "configs/serve_mock.yaml",
            "--server.port",
            "0",
            "--server.auth.allowed_origins",
            f"['{ours}']",
        )
        server = start_server("-m", "fastvideo.entrypoints.cli.main", "serve", *config)
        (tmp_path / "page.html").write_text(code.replace("http://127.0.0.1:8000", server.url), "utf-8")
        (tmp_path / "favicon.ico").touch()
        assert allowed_origin(server.url, ours) == ours
        assert allowed_origin(server.url, strange) is None

        with opened(chromium, ours + "/page.html") as (page, problems):
            page.click("text=Show")
            page.wait_for_function("document.querySelector('video').currentTime > 1", timeout=60_000)
            assert page.evaluate("document.querySelector('video').videoWidth") == 640
            assert page.inner_text("#state").strip() == "active"
            page.fill("#prompt", "now it turns green")
            page.click("text=Show")
            page.click("text=Stop")
            page.wait_for_function("document.getElementById('state').textContent === 'ended: stop_requested'")
            assert problems == []

        with opened(chromium, strange + "/page.html") as (page, problems):
            page.wait_for_load_state("load")
            assert any("CORS" in problem for problem in problems)
            assert page.inner_text("#state") == ""

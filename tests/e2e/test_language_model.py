"""The page with a language model behind the server: prompts are enhanced, and a story's scenes to come rewritten."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

CONFIG = """
generator: {{model_path: "mock:?rtf=0.2"}}
server: {{host: 127.0.0.1, port: 0}}
default_request: {{sampling: {{width: 256, height: 256, num_frames: 24, num_inference_steps: 2}}}}
streaming:
  warmup: {{enabled: false}}
  prompt: {{enabled: true, providers: [{{name: local, base_url: "{url}"}}]}}
"""
NIGHT = ["two at night", "three at night"]


class Model(BaseHTTPRequestHandler):
    """A service with OpenAI's interface that rewrites scenes as night, and enriches everything else with snow."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"]
        said = "\n".join(NIGHT) if "What to change" in asked[-1]["content"] else f"{asked[-1]['content']} in the snow"
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        body = json.dumps({"id": "x", "choices": [choice], "usage": {"total_tokens": 3}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what is asked is not for the tests' output."""


@pytest.fixture
def url(start_server: Callable[..., Any], tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as model:
        threading.Thread(target=model.serve_forever).start()
        try:
            config = tmp_path / "serve.yaml"
            config.write_text(CONFIG.format(url=f"http://127.0.0.1:{model.server_address[1]}/v1"))
            yield start_server("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", str(config)).url
        finally:
            model.shutdown()


def test_prompts_are_enhanced_and_the_scenes_to_come_rewritten(url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(url, keep_going=True)
    page.page.click("label:has(#enhance)")
    page.say("A fox")
    page.until("__fastvideo.session.segments[0]?.prompt === 'A fox in the snow'")
    assert page.session["segments"][0]["source"] == "enhanced"
    page.page.click("label:has(#enhance)")

    page.page.click("#pause-generation")
    for scene in ("one", "two", "three"):
        page.page.fill("#scene-new", scene)
        page.page.press("#scene-new", "Enter")
    page.page.hover("#scenes li:nth-child(1)")
    page.page.click("#scenes li:nth-child(1) .scene__remove")
    page.page.click("#rewrite-toggle")
    page.page.fill("#rewrite-wish", "make it night")
    page.page.press("#rewrite-wish", "Enter")
    page.until("document.querySelectorAll('#alternatives li').length === 2")
    assert page.read("__fastvideo.state.story.scenes.map((one) => one.text)") == ["two", "three"], "nothing by itself"
    assert "Instead of: two" in page.page.inner_text("#alternatives li:nth-child(1)")
    page.page.click("#alternatives li:nth-child(1) [title=Discard]")
    page.page.click("#alternatives li:nth-child(1) [title=Accept]")
    assert page.read("__fastvideo.state.story.scenes.map((one) => one.text)") == ["two", "three at night"]
    page.page.click("#play-story")
    page.page.click("#pause-generation")
    page.until("__fastvideo.session.segments.some((one) => one.prompt === 'three at night')")

"""What the end-to-end tests share: server processes on ports of their own, and Chromium with the page in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WATCH_FRAMES = (HERE / "watch_frames.js").read_text()


class ServerProcess:
    """One server, started with these arguments of ``python``, on the port that it was given or chose."""

    def __init__(self, arguments: tuple[str, ...], log_path: Path) -> None:
        self._log_path = log_path
        self._log = log_path.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        )
        self.url = ""

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return once the port is known and a worker is ready; AssertionError with the server's output otherwise."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s and self._process.poll() is None:
            address = re.search(r"http://[\w.:\[\]]+:\d+", self.output)
            if address and self._answers(address[0] + "/readyz"):
                self.url = address[0]
                return
            time.sleep(0.05)
        raise AssertionError(f"the server was not ready after {timeout_s} s:\n{self.output}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log_path.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers: ``start_server("-m", "fastvideo.entrypoints...", "--port", "0", ready_in_s=30)``."""
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, ready_in_s: float = 30) -> ServerProcess:
            server = ServerProcess(arguments, folder / f"server-{len(list(folder.iterdir()))}.log")
            stack.callback(server.stop)
            server.wait_until_ready(ready_in_s)
            return server

        yield start


# Notes how loud the sound is, ten times a second.
HEAR = """() => {
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  const source = audio.createMediaElementSource(document.querySelector('video'));
  source.connect(analyser).connect(audio.destination);
  const block = new Float32Array(analyser.fftSize);
  window.__heard = [];
  setInterval(() => {
    analyser.getFloatTimeDomainData(block);
    window.__heard.push(Math.sqrt(block.reduce((sum, value) => sum + value * value, 0) / block.length));
  }, 100);
}"""


class PageDriver:
    """The page in a browser, as a person uses it; anything it writes to the console as an error is a problem."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._heard)

    def say(self, prompt: str) -> None:
        self.page.fill("#prompt", prompt)
        self.page.press("#prompt", "Enter")

    def read(self, expression: str) -> Any:
        """Evaluate JavaScript in the page; the content security policy stays on."""
        return self.page.evaluate(expression)

    @property
    def session(self) -> Any:
        return self.read("__fastvideo.session")

    @property
    def player(self) -> Any:
        return self.read("__fastvideo.player")

    def until(self, condition: str, timeout_s: float = 30) -> None:
        """Wait until a JavaScript expression is true; AssertionError with the page's state otherwise."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if self.read(condition):
                return
            self.page.wait_for_timeout(40)
        state = json.dumps({"session": self.session, "player": self.player}, indent=1)
        raise AssertionError(f"{condition} did not come true in {timeout_s} s\n{state}")

    def watch_frames(self) -> None:
        """Note every picture from here on; before the first prompt."""
        self.read(WATCH_FRAMES)

    def hear(self) -> None:
        """Note the loudness of the sound from here on."""
        self.read(HEAR)

    def heard(self) -> list[float]:
        """Root mean square of the sound, ten times a second."""
        levels: list[float] = self.read("__heard")
        return levels

    def assert_every_frame_came_once_and_in_order(self, expected: list[list[int]], fps: float) -> None:
        """Compare the strips of the presented pictures with ``[segment, frame]`` pairs.

        A busy machine may not call back for every picture that the browser presents; those are looked at again, one
        by one, with playback standing still.
        """
        seen = self.read("__frames.seen")
        strips = [one["strip"] for one in seen]
        assert None not in strips, f"pictures without a readable strip at {[one for one in seen if not one['strip']]}"
        once = [strip for index, strip in enumerate(strips) if index == 0 or strip != strips[index - 1]]
        assert once == sorted(once), f"pictures out of order: {once}"
        assert all(strip in expected for strip in once)
        missed = [strip for strip in expected if strip not in once]
        assert len(missed) < len(expected) / 4, f"saw only {len(once)} of {len(expected)} pictures"
        if self.player["state"] not in ("paused", "ended"):
            self.page.click("#play")
        for strip in missed:
            at = expected.index(strip)
            looked = self.read(f"__frames.look({(at + 0.5) / fps})")
            assert looked == strip, f"expected {strip} as picture {at}, saw {looked}"

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., PageDriver]]:
    """Opens the page in a fresh profile: ``open_page(url, width=1280, height=800, init_script="")``."""
    drivers: list[PageDriver] = []
    with contextlib.ExitStack() as stack:

        def opened(
            url: str,
            *,
            width: int = 1280,
            height: int = 800,
            init_script: str = "",
            keep_going: bool = False,
            **options: Any,
        ) -> PageDriver:
            context = chromium.new_context(viewport={"width": width, "height": height}, **options)
            stack.callback(context.close)
            page = context.new_page()
            if init_script:
                page.add_init_script(init_script)
            driver = PageDriver(page)
            page.goto(url)
            if not keep_going:
                page.click("label:has(#keep-going)")
            drivers.append(driver)
            return driver

        yield opened
        for driver in drivers:
            assert driver.problems == []

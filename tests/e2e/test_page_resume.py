"""The page over a connection that breaks, in Chromium: it comes back by itself, and nobody misses a picture."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.cutting_proxy import CuttingProxy

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

FPS = 24
FRAMES = 73


class Link:
    """A proxy in front of a server, run by a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: CuttingProxy) -> None:
        self._loop = loop
        self._proxy = proxy
        self.url = proxy.url.replace("ws://", "http://").removesuffix("/v1/stream")

    def cut(self) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.cut(), self._loop).result(10)


@contextlib.contextmanager
def link_to(port: int) -> Iterator[Link]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    try:
        proxy = CuttingProxy(port)
        asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
        try:
            yield Link(loop, proxy)
        finally:
            asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_a_stream_goes_on_when_its_connection_breaks(
    start_server: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    size = ("--width", "512", "--height", "288", "--num-frames", str(FRAMES), "--steps", "4")
    mock = ("-m", "fastvideo.entrypoints.streaming.mock_server", "--port", "0")
    server = start_server(*mock, *size, "--rtf", "0.4", "--segment-cap", "30")
    with link_to(int(server.url.rpartition(":")[2])) as link:
        page = open_page(link.url)
        page.read(
            "window.__titles = []; new MutationObserver(() => __titles.push(document.title))"
            ".observe(document.querySelector('title'), {childList: true})"
        )
        page.watch_frames()
        for prompt in ("A paper boat in the rain", "A lighthouse in a storm", "Sparks in a dark forge"):
            page.say(prompt)
        for number in range(2):
            page.until(f"__fastvideo.session.segments[{number}]?.status === 'receiving'")
            link.cut()
            page.until("__fastvideo.session.reconnecting")
            page.until("!__fastvideo.session.reconnecting")
        page.until("__fastvideo.session.segments[2]?.status === 'complete'")
        page.page.click("#stop")
        page.until("__fastvideo.player.state === 'ended'")
        # Whether the picture waits depends on how far ahead it was; that none is left out does not.
        assert page.player["jumps"] == 0
        assert [segment["status"] for segment in page.session["segments"]] == ["complete"] * 3
        assert any("Reconnecting" in title for title in page.read("__titles"))
        expected = [[segment, frame] for segment in range(3) for frame in range(FRAMES)]
        page.assert_every_frame_came_once_and_in_order(expected, FPS)
        # The browser itself notes that a socket broke.
        page.problems = [problem for problem in page.problems if "WebSocket" not in problem]

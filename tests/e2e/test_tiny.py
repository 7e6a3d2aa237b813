"""The page against ``configs/serve_tiny.yaml``: LTX-2 segments, from the prompt in the browser to picture and sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

FPS = 24
FIRST_FRAMES = 121
# A continued segment shows what comes after the nine frames that it continues from.
CONTINUED_FRAMES = FIRST_FRAMES - 9


@pytest.fixture(scope="module")
def tiny_url(start_server: Callable[..., Any]) -> str:
    serve = ("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", "configs/serve_tiny.yaml")
    settings = ("--server.port", "0", "--streaming.burn_in_timecode", "true")
    return str(start_server(*serve, *settings, ready_in_s=60).url)


def test_three_ltx2_segments_with_sound_play_through_both_joins(tiny_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(tiny_url)
    page.watch_frames()
    page.hear()
    for prompt in ("A red ball bounces on a blue floor", "It turns green", "It rolls away to the left"):
        page.say(prompt)
    page.until("__fastvideo.session.segments[2]?.status === 'complete'", timeout_s=60)
    page.page.click("#stop")
    page.until("__fastvideo.player.state === 'ended'", timeout_s=40)

    player, session = page.player, page.session
    assert (player["stalls"], player["jumps"], player["idles"]) == (0, 0, 0)
    assert [segment["status"] for segment in session["segments"]] == ["complete"] * 3
    events = page.read("__frames.events")
    assert not [event for event in events if event["type"] == "waiting" and event["time_s"] > 0], events
    assert not [event for event in events if event["type"] in ("stalled", "seeking", "error")], events

    assert page.read("document.querySelector('video').webkitAudioDecodedByteCount") > 0
    heard = page.heard()
    assert sum(level > 0.001 for level in heard) > 0.8 * len(heard) > 50, "the sound was silent"

    lengths = (FIRST_FRAMES, CONTINUED_FRAMES, CONTINUED_FRAMES)
    expected = [[segment, frame] for segment, frames in enumerate(lengths) for frame in range(frames)]
    page.assert_every_frame_came_once_and_in_order(expected, FPS)

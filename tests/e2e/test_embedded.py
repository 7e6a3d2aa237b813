"""The page against ``configs/serve_embedded.yaml``: half a minute of the model in the package, live."""

from __future__ import annotations

from collections.abc import Callable
from itertools import dropwhile
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

PLAYED_S = 30
PROMPTS = {0: "A red ball bounces on a blue background", 8: "Now it turns green", 18: "It turns into a star"}


@pytest.fixture(scope="module")
def embedded_url(start_server: Callable[..., Any]) -> str:
    serve = ("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", "configs/serve_embedded.yaml")
    return str(start_server(*serve, "--server.port", "0", ready_in_s=60).url)


def test_half_a_minute_plays_without_a_stall_while_prompts_change_it(
    embedded_url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(embedded_url, keep_going=True)
    page.hear()
    for at_s, prompt in PROMPTS.items():
        page.until(f"__fastvideo.player.position_s >= {at_s}", timeout_s=PLAYED_S)
        page.say(prompt)
    page.until(f"__fastvideo.player.position_s >= {PLAYED_S}", timeout_s=2 * PLAYED_S)

    player = page.player
    assert (player["stalls"], player["jumps"], player["idles"]) == (0, 0, 0)
    segments = [one for one in page.session["segments"] if one["status"] == "complete"]
    assert [one["prompt"] for one in segments if one["source"] == "user"] == list(PROMPTS.values())
    spent_ms = sum(one["generation_ms"] for one in segments)
    assert spent_ms <= 0.8 * 1000 * sum(one["duration_s"] for one in segments)
    heard = list(dropwhile(lambda level: level == 0, page.heard()))
    assert sum(level > 0.001 for level in heard) > 0.8 * len(heard) > 50, "the sound was silent"

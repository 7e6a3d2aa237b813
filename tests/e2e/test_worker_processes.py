"""The page over worker processes: what a viewer sees when they die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(150)]

FPS = 24
FRAMES = 73


def test_workers_killed_in_mid_segment_cost_a_viewer_no_frame(
    start_server: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    serve = ("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", "configs/serve_mock_pool.yaml")
    model = ("--generator.model_path", "mock:?rtf=0.4", "--streaming.warmup.enabled", "false", "--server.port", "0")
    size = ("--default_request.sampling.width", "512", "--default_request.sampling.height", "288")
    server = start_server(*serve, *model, *size, "--default_request.sampling.num_frames", str(FRAMES))
    page = open_page(server.url)
    page.watch_frames()
    for prompt in ("A paper boat in the rain", "A lighthouse in a storm", "Sparks in a dark forge"):
        page.say(prompt)

    page.until("__fastvideo.session.segments[1]?.status === 'receiving'")
    workers = psutil.Process(server.pid).children()
    assert len(workers) == 2
    for worker in workers:
        worker.kill()

    page.until("__fastvideo.session.segments[2]?.status === 'complete'", timeout_s=60)
    page.page.click("#stop")
    page.until("__fastvideo.player.state === 'ended'", timeout_s=40)
    assert [segment["status"] for segment in page.session["segments"]] == ["complete"] * 3
    expected = [[segment, frame] for segment in range(3) for frame in range(FRAMES)]
    page.assert_every_frame_came_once_and_in_order(expected, FPS)

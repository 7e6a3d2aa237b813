"""The page over actors in a real Ray cluster on this machine: what a viewer sees when they die."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

FPS = 24
FRAMES = 73


def test_actors_killed_in_mid_segment_cost_a_viewer_no_frame_and_nothing_of_ray_is_left(
    start_server: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    serve = ("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", "configs/serve_ray.yaml")
    model = ("--generator.model_path", "mock:?rtf=0.4", "--streaming.warmup.enabled", "false", "--server.port", "0")
    size = ("--default_request.sampling.width", "512", "--default_request.sampling.height", "288")
    frames = ("--default_request.sampling.num_frames", str(FRAMES))
    server = start_server(*serve, *model, *size, *frames, ready_in_s=60)
    page = open_page(server.url)
    page.watch_frames()
    for prompt in ("A paper boat in the rain", "A lighthouse in a storm", "Sparks in a dark forge"):
        page.say(prompt)

    page.until("__fastvideo.session.segments[1]?.status === 'receiving'")
    family = psutil.Process(server.pid).children(recursive=True)
    actors = [process for process in family if is_actor(process)]
    assert len(actors) == 2
    for actor in actors:
        actor.kill()

    page.until("__fastvideo.session.segments[2]?.status === 'complete'", timeout_s=60)
    page.page.click("#stop")
    page.until("__fastvideo.player.state === 'ended'", timeout_s=40)
    assert [segment["status"] for segment in page.session["segments"]] == ["complete"] * 3
    expected = [[segment, frame] for segment in range(3) for frame in range(FRAMES)]
    page.assert_every_frame_came_once_and_in_order(expected, FPS)

    family = psutil.Process(server.pid).children(recursive=True)
    server.stop()
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []
    # Nor does Ray take an end that was asked for to be a crash.
    assert "SIGTERM received" not in server.output


def is_actor(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "RayWorker" in " ".join(process.cmdline())
    return False

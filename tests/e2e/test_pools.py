"""The page over each of the three pools: one scenario, in which all processes that a pool has are killed on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(170)]

FPS = 24
FRAMES = 73
SEGMENT_S = FRAMES / FPS
SMOOTH = (0, 0, 0)


@dataclass(frozen=True)
class Pool:
    """``config`` chooses it; ``processes`` of the server's family are workers, which have ``word`` in their command."""

    config: str
    processes: int = 0
    word: str = ""


POOLS = {
    "in_process": Pool("configs/serve_mock.yaml"),
    "subprocess": Pool("configs/serve_mock_pool.yaml", 2, "worker_process"),
    "ray": Pool("configs/serve_ray.yaml", 2, "RayWorker"),
}


@pytest.mark.parametrize("backend", POOLS)
def test_three_segments_with_sound_play_through_both_joins_even_if_all_workers_are_killed(
    backend: str, start_server: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    pool = POOLS[backend]
    server = start_server(*serve(backend, pool.config), ready_in_s=60)
    page = open_page(server.url)
    page.watch_frames()
    page.hear()
    for prompt in ("A paper boat in the rain", "A lighthouse in a storm", "Sparks in a dark forge"):
        page.say(prompt)

    page.until("__fastvideo.session.segments[1]?.status === 'receiving'")
    workers = [process for process in family(server) if pool.word and pool.word in command(process)]
    assert len(workers) == pool.processes
    for worker in workers:
        worker.kill()
    page.until("__fastvideo.session.segments[2]?.status === 'complete'", timeout_s=60)
    # The sound that is still owed to the last pictures comes with the end of the stream.
    page.page.click("#stop")
    page.until("__fastvideo.player.state === 'ended'", timeout_s=40)

    assert [segment["status"] for segment in page.session["segments"]] == ["complete"] * 3
    assert page.read("document.querySelector('video').webkitAudioDecodedByteCount") > 0
    assert sum(level > 0.005 for level in page.heard()) * 0.1 > 2 * SEGMENT_S, (
        "sound was silent for a third of the time or more"
    )
    expected = [[segment, frame] for segment in range(3) for frame in range(FRAMES)]
    hiccups = troubles(page)
    page.assert_every_frame_came_once_and_in_order(expected, FPS)
    # How long a worker takes to come again is the machine's affair; the viewer may have to wait for that.
    assert workers or hiccups == (SMOOTH, [])

    left = family(server)
    server.stop()
    _, left = psutil.wait_procs(left, timeout=10)
    assert left == []
    # Nor does Ray take an end that was asked for to be a crash.
    assert "SIGTERM received" not in server.output


def serve(backend: str, config: str) -> tuple[str, ...]:
    """Arguments for a server faster than playback, with pictures of a size that two busy cores decode in time."""
    settings = {
        "generator.model_path": "mock:?rtf=0.4",
        "streaming.pool.backend": backend,
        "streaming.warmup.enabled": "false",
        "server.port": "0",
        "default_request.sampling.width": "512",
        "default_request.sampling.height": "288",
        "default_request.sampling.num_frames": str(FRAMES),
    }
    given = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return ("-m", "fastvideo.entrypoints.cli.main", "serve", "--config", config, *given)


def family(server: Any) -> list[psutil.Process]:
    return psutil.Process(server.pid).children(recursive=True)


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def troubles(page: Any) -> tuple[tuple[int, int, int], list[Any]]:
    """What the page says of stalls, jumps and times without a picture to show, and what the browser says."""
    player, events = page.player, page.read("__frames.events")
    kinds = ("stalled", "seeking", "error")
    rough = [
        event for event in events if event["type"] in kinds or (event["type"] == "waiting" and event["time_s"] > 0)
    ]
    return (player["stalls"], player["jumps"], player["idles"]), rough

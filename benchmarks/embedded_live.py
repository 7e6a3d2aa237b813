"""Whether the embedded model plays live: ``configs/serve_embedded.yaml`` with a viewer in headless Chromium beside it.

The page goes on by itself, and gets another prompt every ten seconds. Generation is the time that segments took in the
worker, with decoding and coding, over the time that they play; the first fragment is timed in the browser, from the key
press to the message. Chromium, which draws without a GPU, takes its part of the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from benchmarks.report import Effort, Figure, Report, table
from benchmarks.server_process import ROOT, fastvideo_serve

NAME = "embedded_live"
CONFIG = ROOT / "configs" / "serve_embedded.yaml"
GENERATION_GOAL = 0.8
FIRST_FRAGMENT_GOAL_MS = 1500.0
PROMPTS = (
    "A red ball bounces on a blue background",
    "Now it turns green",
    "It moves to the left",
    "Now it becomes a star",
    "It moves in a circle",
    "The background changes to yellow",
    "A white ring glides to the right on a purple background",
    "It grows",
    "Now it turns orange",
)
_PLAYED_S = {Effort.QUICK: 5.0, Effort.NORMAL: 60.0, Effort.LONG: 180.0}
_PROMPT_EVERY_S = 10.0
_START_S = 30.0
_FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--no-first-run")
_WATCH = Path(__file__).parent / "watch_stream.js"
_STATE = """() => {
  const video = document.querySelector("video");
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  const { state, position_s, ahead_s, stalls, jumps, idles } = __fastvideo.player;
  return { state, position_s, ahead_s, stalls, jumps, idles, totalVideoFrames, droppedVideoFrames, ...__watched };
}"""


@dataclass(frozen=True)
class Watched:
    """What the browser knows at the end; CPU seconds of the server since the first prompt, and the least lead seen."""

    page: dict[str, Any]
    server_cpu_s: float
    least_ahead_s: float

    @property
    def ratios(self) -> list[float]:
        """Time in the worker over playing time, of each segment."""
        durations = self.page["durations"]
        return [done["generation_time_ms"] / durations[str(done["segment_idx"])] for done in self.page["complete"]]

    @property
    def generation(self) -> float:
        """The same of all segments together."""
        spent_ms = sum(done["generation_time_ms"] for done in self.page["complete"])
        return float(spent_ms / sum(self.page["durations"][str(done["segment_idx"])] for done in self.page["complete"]))


def measure(effort: Effort, overrides: Sequence[str] = (), played_s: float | None = None) -> Report:
    """One stream of the effort's length."""
    seen = asyncio.run(watch(_PLAYED_S[effort] if played_s is None else played_s, overrides))
    page = seen.page
    first_ms = page["fragment_ms"] - page["entered_ms"]
    steps = [done.get("timings") or {} for done in page["complete"]]
    where = {name: statistics.median(step.get(name) or 0.0 for step in steps) for name in ("text", "denoise", "decode")}
    where["encode"] = statistics.median(step.get("encode") or 0.0 for step in steps)
    spent = ", ".join(f"{name} {ms:.0f} ms" for name, ms in where.items())
    ratios = seen.ratios
    shown = f"{page['position_s']:.0f} s played, {page['jumps']} jumps, least lead {seen.least_ahead_s:.1f} s"
    dropped = f"of {page['totalVideoFrames']}, which is for the browser to say"
    figures = [
        Figure("generation, decoding and coding / playback", seen.generation, "x", GENERATION_GOAL, spent),
        Figure("the slowest segment / playback", max(ratios), "x", note=f"{len(ratios)} segments"),
        Figure("prompt to first fragment", first_ms, "ms", FIRST_FRAGMENT_GOAL_MS),
        Figure("stalls", float(page["stalls"] + page["idles"]), "", 0.0, shown),
        Figure("server CPU / playback", seen.server_cpu_s / page["position_s"], "cores"),
        Figure("pictures that the browser dropped", float(page["droppedVideoFrames"]), "", note=dropped),
    ]
    return Report(NAME, effort, figures, details={"page": page, "ratios": ratios, "server_cpu_s": seen.server_cpu_s})


async def watch(played_s: float, overrides: Sequence[str]) -> Watched:
    """Serve, open the page, and watch until that much has played. Raises TimeoutError when it plays too slowly."""
    executable = shutil.which("chromium")
    if executable is None:
        raise RuntimeError("no Chromium found: install your distribution's package 'chromium'")
    # As many threads as scripts/serve would take.
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    async with fastvideo_serve(CONFIG, overrides, environment=environment) as (server, _), async_playwright() as player:
        browser = await player.chromium.launch(executable_path=executable, args=list(_FLAGS))
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.add_init_script(path=_WATCH)
        await page.goto(f"http://127.0.0.1:{server.port}/")
        before_s = server.cpu_s()
        sent, least_ahead_s = 0, float("inf")
        async with asyncio.timeout(_START_S + 2 * played_s):
            while True:
                state = await page.evaluate(_STATE)
                if state["position_s"] >= played_s:
                    break
                if state["state"] == "playing":
                    least_ahead_s = min(least_ahead_s, state["ahead_s"])
                if state["position_s"] >= sent * _PROMPT_EVERY_S:
                    await page.fill("#prompt", PROMPTS[sent % len(PROMPTS)])
                    await page.press("#prompt", "Enter")
                    sent += 1
                await asyncio.sleep(0.25)
        used_s = server.cpu_s() - before_s
        await browser.close()
    return Watched(state, used_s, least_ahead_s)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--long", dest="effort", action="store_const", const=Effort.LONG, help="three minutes")
    effort.add_argument("--quick", dest="effort", action="store_const", const=Effort.QUICK, help="only shows it runs")
    arguments, overrides = parser.parse_known_args()
    report = measure(arguments.effort or Effort.NORMAL, overrides)
    print(table([report]))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())

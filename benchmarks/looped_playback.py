"""A story in a loop, in headless Chromium: the fake generator a tenth faster, and a tenth slower, than playback.

The page plays a story of three scenes again and again (loop generation, each segment continued from the one before), at
0.9 and 1.1 of real time with 10 % jitter. Faster: nothing may stall, sound and picture stay together, and generation
keeps its lead and no more. Slower: the picture stands as long as arithmetic says that it must, and goes on by itself.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ROOT, fastvideo_serve

NAME = "looped_playback"
CONFIG = ROOT / "configs" / "serve_mock.yaml"
SCENES = ("A red kite over the sea", "A golden moon in the night", "A blue flower in the snow")
FASTER, SLOWER = 0.9, 1.1
JITTER = 0.1
DRIFT_GOAL_MS = 50.0
SHARE_GOAL_POINTS = 2.0
# The page tells its position once a second; in between the server goes by the clock.
LEAD_TOLERANCE_S = 0.1
# The page's player goes on with half a second in hand, and has that looked at four times a second.
STUCK_LOOKS_GOAL = 4.0
_PLAYED_S = {Effort.QUICK: 24.0, Effort.NORMAL: 90.0, Effort.LONG: 600.0}
# Segments and the lead, both in seconds; the quick form's are short, so that it has several joins and reaches the lead.
_PACING = (5, 8.0)
_QUICK_PACING = {FASTER: (2, 3.0), SLOWER: (3, 8.0)}
# Sound ends before the picture, so playback waits a little before a segment's beginning, or at its first pictures.
_BEGINNING_MS = 300.0
_FPS = 24
_START_S = 60.0
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--no-first-run"),
    # Two pages are watched at once; neither is in the background.
    *("--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"),
)
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Watched:
    """One stream as the browser saw it (``watch_playback.js``); ``player`` and ``elapsed_ms`` (of the page's clock) at
    its end."""

    log: dict[str, Any]
    player: dict[str, Any]
    elapsed_ms: float
    lead_s: float

    @property
    def stood_share(self) -> float:
        """Part of the time in which the picture stood, in per cent: from the first start of playback to the last at a
        segment's beginning, so that waits are whole; to the end where it never stood."""
        first, last = self._span
        played_ms = 1000.0 * (last["position_s"] - first["position_s"])
        return float(100.0 * (1.0 - played_ms / (last["at_ms"] - first["at_ms"])))

    @property
    def predicted_share(self) -> float:
        """What that comes to when nothing but the generator takes time, by its own account of these segments."""
        first, last = (self._begins(start) for start in self._span)
        if last is None:
            return 0.0
        made = [str(index) for index in range(first or 0, last)]
        spent_ms = sum(self.log["generated_ms"][index] for index in made)
        spent_ms += self.log["first_fragment_ms"][str(last)] - self.log["first_fragment_ms"][str(first or 0)]
        played_ms = sum(self.log["durations_ms"][index] for index in made)
        return float(100.0 * max(0.0, 1.0 - played_ms / spent_ms))

    @property
    def _span(self) -> tuple[dict[str, float], dict[str, float]]:
        starts = self.log["starts"]
        later = [start for start in starts[1:] if self._begins(start) is not None]
        end = {"at_ms": self.elapsed_ms, "position_s": self.player["position_s"]}
        return starts[0], later[-1] if later else end

    def _begins(self, start: dict[str, float]) -> int | None:
        """The segment, whole by now, at whose beginning playback started there."""
        at_ms = 0.0
        for index, duration_ms in enumerate(self.log["durations_ms"].values()):
            if abs(start["position_s"] * 1000.0 - at_ms) < _BEGINNING_MS and str(index) in self.log["generated_ms"]:
                return index
            at_ms += duration_ms
        return None

    @property
    def rounds(self) -> int:
        """How often the story began again, all scenes in order; 0 when anything else was generated."""
        prompts = self.log["prompts"]
        in_order = prompts == [SCENES[index % len(SCENES)] for index in range(len(prompts))]
        return (len(prompts) - 1) // len(SCENES) if in_order and set(self.log["sources"]) == {"curated"} else 0

    @property
    def segment_s(self) -> float:
        """The longest segment."""
        return float(max(self.log["durations_ms"].values()) / 1000.0)

    @property
    def drift_ms(self) -> float:
        """How much the sound moved against the picture, from the first part of the stream to its last."""
        offsets_ms = self.offsets_ms
        part = max(1, min(len(offsets_ms) // 3, 60))
        return abs(statistics.median(offsets_ms[-part:]) - statistics.median(offsets_ms[:part]))

    @property
    def offsets_ms(self) -> list[float]:
        """Where the picture was when a pluck was heard, after the full second on which it lies."""
        return [one["offset_ms"] for one in self.log["offsets"]]


def measure(effort: Effort) -> Report:
    """Both paces at the same time, each with a server of its own: either takes a fraction of a core."""
    faster, slower = asyncio.run(_both(effort))
    figures = [*_figures_faster(faster), *_figures_slower(slower)]
    details = {"faster": {**faster.log, "player": faster.player}, "slower": {**slower.log, "player": slower.player}}
    return Report(NAME, effort, figures, details=details)


def _figures_faster(seen: Watched) -> list[Figure]:
    player, log = seen.player, seen.log
    name = f"{FASTER}:"
    played = f"{player['position_s']:.0f} s played, story told {seen.rounds} times and again, {player['jumps']} jumps"
    offsets_ms = seen.offsets_ms
    heard = f"from {len(offsets_ms)} plucks; picture {statistics.median(offsets_ms):.0f} ms after the sound's mark"
    least = f"least {log['least_ahead_s']:.2f} s while playing"
    return [
        Figure(f"{name} stalls", float(player["stalls"] + player["idles"]), "", 0.0, played),
        Figure(f"{name} time in which the picture stood", seen.stood_share, "%"),
        Figure(f"{name} drift of sound against picture", seen.drift_ms, "ms", DRIFT_GOAL_MS, heard),
        _stuck(name, seen),
        Figure(f"{name} lead when a segment begins, most", max(log["leads_s"]), "s", seen.lead_s + LEAD_TOLERANCE_S),
        Figure(f"{name} media ahead, most", log["most_ahead_s"], "s", seen.lead_s + seen.segment_s, least),
    ]


def _figures_slower(seen: Watched) -> list[Figure]:
    player, log = seen.player, seen.log
    name = f"{SLOWER}:"
    asked = 100.0 * (1.0 - 1.0 / SLOWER)
    share, predicted = seen.stood_share, seen.predicted_share
    played = f"{player['position_s']:.0f} s played, story told {seen.rounds} times and again"
    stalls = f"{player['stalls']} stalls, {player['idles']} idles, {log['late']} deadlines missed"
    return [
        Figure(f"{name} time in which the picture stood", share, "%", note=f"{played}; {stalls}"),
        Figure(f"{name} that less {asked:.1f} %", abs(share - asked), "points", SHARE_GOAL_POINTS),
        Figure(
            f"{name} that less what these segments took",
            abs(share - predicted),
            "points",
            SHARE_GOAL_POINTS,
            f"{predicted:.2f} % by the generator's own times",
        ),
        _stuck(name, seen),
        # Every stall but the running one was followed by a start that nobody asked for.
        Figure(f"{name} stalls that did not end", float(max(0, player["stalls"] - len(log["starts"]))), "", 0.0),
        Figure(f"{name} longest wait", log["longest_stand_ms"] / 1000.0, "s", seen.segment_s * SLOWER),
    ]


def _stuck(name: str, seen: Watched) -> Figure:
    """Holds however busy the machine is: it is counted in looks of the page, which are as late as its player's."""
    looks = float(seen.log["most_stuck_looks"])
    what = f"{name} looks in a row at a picture that stood with media in hand, most"
    return Figure(what, looks, "", STUCK_LOOKS_GOAL, "a look each 250 ms, when the page gets to it")


async def _both(effort: Effort) -> tuple[Watched, Watched]:
    executable = shutil.which("chromium")
    if executable is None:
        raise RuntimeError("no Chromium found: install your distribution's package 'chromium'")
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=executable, args=list(_FLAGS))
        faster, slower = await asyncio.gather(*(_watch(browser, pace, effort) for pace in (FASTER, SLOWER)))
        await browser.close()
    return faster, slower


async def _watch(browser: Browser, pace: float, effort: Effort) -> Watched:
    """Serve at this pace, play the story in a loop, and watch from its first picture on."""
    segment_s, lead_s = _QUICK_PACING[pace] if effort is Effort.QUICK else _PACING
    overrides = [
        *("--generator.model_path", f"mock:?rtf={pace}&jitter={JITTER}"),
        *("--default_request.sampling.num_frames", str(segment_s * _FPS + 1)),
        *("--streaming.generation_segment_cap", "1000000"),
        *("--streaming.pacing.lead_seconds", str(lead_s)),
    ]
    if effort is Effort.QUICK:
        overrides += ["--default_request.sampling.width", "256", "--default_request.sampling.height", "160"]
    async with fastvideo_serve(CONFIG, overrides) as (server, _):
        # The page's policy lets no other scripts in, and the meter is one.
        context = await browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page = await context.new_page()
        await page.add_init_script(path=_HERE / "watch_playback.js")
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await page.evaluate("(meter) => __watched.begin(meter)", (_HERE / "pluck_meter.js").read_text())
        await _play_in_a_loop(page, SCENES)
        await page.wait_for_function("__watched.starts.length > 0", timeout=_START_S * 1000)
        await asyncio.sleep(_PLAYED_S[effort])
        log, state, now_ms = await page.evaluate("[__watched, __fastvideo.player, performance.now()]")
        await context.close()
    return Watched(log, state, now_ms, lead_s)


async def _play_in_a_loop(page: Page, scenes: Sequence[str]) -> None:
    await page.click("[data-opens=library]")
    await page.click("#library-new")
    for scene in scenes:
        await page.fill("#scene-new", scene)
        await page.press("#scene-new", "Enter")
    if await page.is_checked("#keep-going"):
        await page.click("label:has(#keep-going)")
    await page.click("label:has(#loop)")
    await page.click("#play-story")


if __name__ == "__main__":
    sys.exit(main(NAME, __doc__, measure))

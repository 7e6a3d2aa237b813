"""What the embedded model makes of prompts that it was never trained on, measured from decoded pixels and samples.

Held-out combinations of colour, shape and motion, in the world's own wordings, through the whole pipeline. How often an
attribute is wrong; how steps at joins compare with steps inside segments when the prompt stays the same (both at the
95th percentile), over what the same comparison says of the same stories as the world itself tells them; and how often
a change that a prompt asks for has not come within its segment.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.embedded_stories import (
    Clip,
    Story,
    Teller,
    held_out_stories,
    joined,
    second_half,
    told_by_model,
    told_by_renderer,
)
from benchmarks.randomised import with_shuffled_transformer
from benchmarks.report import Effort, Figure, Report, table
from fastvideo.api.schema import GeneratorConfig, GpuPoolConfig, PipelineSelection
from fastvideo.entrypoints.model_path import local_checkpoint
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.eval.meters.clip import Measured
from fastvideo.eval.meters.clip import measure as measure_clip
from fastvideo.eval.meters.join import Steps, picture_steps, place_steps, sound_steps, velocity_steps
from fastvideo.eval.meters.outline import trace
from fastvideo.eval.meters.sight import look
from fastvideo.eval.meters.verdict import Verdict, judge, shares
from fastvideo.eval.world import FPS
from fastvideo.eval.world.asked import asked_by
from fastvideo.eval.world.scene import Scene
from scripts.train_embedded.world.change import Change

NAME = "embedded_quality"
PRESET = "ltx2_embedded"
# The most that may be wrong, in per cent of the prompts.
WRONG_GOALS = {"colour": 5.0, "backdrop": 5.0, "kind": 10.0, "motion": 10.0, "pitch": 10.0}
NOT_CHANGED_GOAL = 10.0
# Velocities show what a fast thing's own way hides, and are not asked for.
JOIN_GOALS: dict[str, float | None] = {"picture": 1.0, "place": 1.0, "velocity": None, "sound": 1.0}
_PROMPTS = {Effort.QUICK: 4, Effort.NORMAL: 200, Effort.LONG: 1000}
_NAMES = {"colour": "object colour", "backdrop": "background colour", "kind": "shape", "pitch": "pitch (a semitone)"}
# What a change is judged by.
_CHANGED = {Change.COLOUR: "colour", Change.MOTION: "motion", Change.KIND: "kind", Change.BACKDROP: "backdrop"}


@dataclass(frozen=True)
class Options:
    """What is measured. ``sampling`` holds fields of SamplingConfig that differ from the preset; ``audio_reencode`` is
    ``streaming.pool.enable_audio_reencode``."""

    checkpoint: str = "embedded:"
    prompts: int = 200
    seed: int = 0
    sampling: dict[str, Any] = field(default_factory=dict)
    randomised: bool = False
    rendered: bool = False
    continued: bool = True
    audio_reencode: bool = False


@dataclass
class Findings:
    """``chance`` are the verdicts on the same pictures with the sound and the scene of the story before.

    ``world_steps`` are those of the same stories as the world tells them: joins come at set times, at which things may
    be faster than at others, so that even there joins and insides differ.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    chance: list[Verdict] = field(default_factory=list)
    steps: dict[str, list[Steps]] = field(default_factory=lambda: {kind: [] for kind in JOIN_GOALS})
    world_steps: dict[str, list[Steps]] = field(default_factory=lambda: {kind: [] for kind in JOIN_GOALS})
    changed: dict[Change, list[bool]] = field(default_factory=lambda: {change: [] for change in _CHANGED})
    wrong: list[dict[str, Any]] = field(default_factory=list)


def measure_quality(options: Options, effort: Effort = Effort.NORMAL) -> Report:
    """Ask for all stories, one after the other."""
    with ExitStack() as stack:
        tell = _teller(options, stack)
        asked = held_out_stories(options.seed, options.prompts, continued=options.continued)
        found = findings(asked, tell, lambda done: _progress(done, options.prompts))
    details = {
        "options": asdict(options),
        "right": shares(found.verdicts),
        "right_by_chance": shares(found.chance),
        "changed": {change: [sum(answers), len(answers)] for change, answers in found.changed.items()},
        "wrong": found.wrong,
    }
    return Report(NAME, effort, figures_of(found), details=details)


def findings(asked: Iterable[Story], tell: Teller, progress: Callable[[int], None] = lambda _: None) -> Findings:
    """Measures every story that is told."""
    found = Findings()
    before: tuple[Clip, Scene] | None = None
    for number, story in enumerate(asked):
        scene = story.first.segment.scene
        first, branches = tell(story, number)
        measured = _measured(first)
        verdict = judge(measured, asked_by(scene))
        found.verdicts.append(verdict)
        if before is not None:
            other, other_scene = before
            mixed = replace(first, samples=other.samples, sample_rate_hz=other.sample_rate_hz)
            found.chance.append(judge(_measured(mixed), asked_by(other_scene)))
        _note(found, story.first.caption, scene, measured, verdict)
        before = first, scene
        for shots, clips in zip(story.branches, branches, strict=True):
            change = shots[0].change
            if change is Change.NONE:
                _add_steps(found.steps, *joined([first, *clips]))
                world_first, (world_clips, *_) = told_by_renderer(replace(story, branches=(shots,)), number)
                _add_steps(found.world_steps, *joined([world_first, *world_clips]))
            elif change is not None:
                after = shots[0].segment.scene
                # A motion is judged by all of its way, anything else by what is there when it has changed.
                seen = _measured(clips[0] if change is Change.MOTION else second_half(clips[0]))
                verdict = judge(seen, asked_by(after))
                found.changed[change].append(getattr(verdict, _CHANGED[change]))
                if not found.changed[change][-1]:
                    _note(found, shots[0].caption, after, seen, verdict)
        progress(number + 1)
    return found


def figures_of(found: Findings) -> list[Figure]:
    """Shares of what is wrong in per cent, and steps at joins over those inside."""
    right, chance = shares(found.verdicts), shares(found.chance) if found.chance else {}
    figures: list[Figure] = []
    for name, goal in WRONG_GOALS.items():
        note = f"of {len(found.verdicts)} prompts"
        if chance:
            note += f"; another prompt's would be wrong in {100 - 100 * chance[name]:.0f} %"
        figures.append(Figure(f"{_NAMES.get(name, name)} wrong", 100 - 100 * right[name], "%", goal, note))
    for name, steps in found.steps.items():
        if steps:
            figures.append(_join_figure(name, steps, found.world_steps[name]))
    for change, answers in found.changed.items():
        if answers:
            late = 100 - 100 * sum(answers) / len(answers)
            name = f"change of {_NAMES.get(_CHANGED[change], _CHANGED[change])} not in its segment"
            most = NOT_CHANGED_GOAL if change is Change.COLOUR else None
            figures.append(Figure(name, late, "%", most, f"of {len(answers)} prompts"))
    return figures


def _join_figure(name: str, steps: list[Steps], world_steps: list[Steps]) -> Figure:
    whole, world, goal = _whole(steps), _whole(world_steps), JOIN_GOALS[name]
    label = f"{name}: step at joins / inside, over the world's own"
    if not (np.isfinite(whole.inside).any() and np.isfinite(whole.at_joins).any()):
        return Figure(label, None, "x", goal, "nothing was seen")
    ratio, own = whole.ratio(), world.ratio()
    if not (math.isfinite(ratio) and math.isfinite(own) and own > 0):
        return Figure(label, None, "x", goal, "there are no steps inside")
    note = f"95th percentile, {whole.at_joins.size} joins: {ratio:.3g} x, the world's own {own:.3g} x"
    return Figure(label, ratio / own, "x", goal, note)


def _whole(steps: list[Steps]) -> Steps:
    return Steps(np.concatenate([each.inside for each in steps]), np.concatenate([each.at_joins for each in steps]))


def _teller(options: Options, stack: ExitStack) -> Teller:
    if options.rendered:
        return told_by_renderer
    model_path = options.checkpoint
    if options.randomised:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model_path = str(with_shuffled_transformer(local_checkpoint(model_path), folder, options.seed))
    config = GeneratorConfig(model_path=model_path, pipeline=PipelineSelection(preset=PRESET))
    pool = GpuPoolConfig(enable_audio_reencode=options.audio_reencode)
    return told_by_model(stack.enter_context(VideoGenerator(config, pool=pool)), options.sampling)


def _measured(clip: Clip) -> Measured:
    # A frame may show nothing, and then has no outline to divide by.
    with np.errstate(invalid="ignore", divide="ignore"):
        return measure_clip(clip.frames, clip.samples, clip.sample_rate_hz)


def _add_steps(steps: dict[str, list[Steps]], clip: Clip, joins: list[int]) -> None:
    height_px = clip.frames.shape[1]
    things = look(clip.frames).things
    steps["picture"].append(picture_steps(clip.frames, joins))
    steps["sound"].append(sound_steps(clip.samples, clip.sample_rate_hz, [join / FPS for join in joins]))
    if things:
        outline = trace(things[0].mask)
        x, y = outline.x / height_px, outline.y / height_px
        steps["place"].append(place_steps(x, y, joins))
        steps["velocity"].append(velocity_steps(x, y, joins))


def _note(found: Findings, caption: str, scene: Scene, measured: Measured, verdict: Verdict) -> None:
    """Keep what was asked and what was seen, where they differ."""
    wrong = [name for name, right in asdict(verdict).items() if not right]
    if wrong:
        seen = [f"{thing.colour} {thing.kind} {thing.motion}" for thing in measured.things]
        asked = [f"{thing.colour} {thing.kind} {thing.motion}" for thing in scene.things]
        backdrops = {"asked_backdrop": scene.backdrop.colour, "seen_backdrop": measured.backdrop}
        errors = [thing.pitch_error_semitones for thing in measured.things]
        pitch = [round(error, 1) if math.isfinite(error) else None for error in errors]
        found.wrong.append(
            {"caption": caption, "wrong": wrong, "asked": asked, "seen": seen, **backdrops, "pitch_errors": pitch}
        )


def _progress(done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"{NAME}: {done}/{total} prompts", file=sys.stderr, flush=True)


def measure(effort: Effort) -> Report:
    """The model in the package."""
    return measure_quality(Options(prompts=_PROMPTS[effort]), effort)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{NAME}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--long", dest="effort", action="store_const", const=Effort.LONG, help="1000 prompts")
    effort.add_argument("--quick", dest="effort", action="store_const", const=Effort.QUICK, help="only shows it runs")
    parser.add_argument("--checkpoint", default="embedded:", help="a model path (default embedded:)")
    parser.add_argument("--prompts", type=int, help="how many (default 200)")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the preset's)")
    parser.add_argument("--sigmas", type=float, nargs="+", help="noise levels from 1.0 down, instead of steps")
    parser.add_argument("--seed", type=int, default=0, help="of the stories (default 0)")
    parser.add_argument("--first-only", action="store_true", help="no continued segments")
    parser.add_argument("--json", type=Path, help="write the report here instead of into benchmarks/results")
    parser.add_argument("--audio-reencode", action="store_true", help="continue the sound from its waveform")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--randomised-transformer", action="store_true", help="with its weights in a random order")
    source.add_argument(
        "--rendered", action="store_true", help="the world's own pictures and sounds, by the same meters"
    )
    arguments = parser.parse_args()
    chosen = arguments.effort or Effort.NORMAL
    sampling = {"num_inference_steps": arguments.steps, "sigmas": arguments.sigmas}
    report = measure_quality(
        Options(
            checkpoint=arguments.checkpoint,
            prompts=arguments.prompts or _PROMPTS[chosen],
            seed=arguments.seed,
            sampling={name: value for name, value in sampling.items() if value is not None},
            randomised=arguments.randomised_transformer,
            rendered=arguments.rendered,
            continued=not arguments.first_only,
            audio_reencode=arguments.audio_reencode,
        ),
        chosen,
    )
    print(table([report]))
    report.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

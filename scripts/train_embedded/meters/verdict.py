"""Whether a measured clip shows what its scene says, and whether sound and picture agree."""

from __future__ import annotations

from dataclasses import dataclass, fields

from scripts.train_embedded.meters.clip import Measured, MeasuredThing
from scripts.train_embedded.world.scene import Scene


@dataclass(frozen=True)
class Verdict:
    """What is right; with two things, whether it is right for both. ``pitch`` is that of the first voice."""

    colour: bool
    backdrop: bool
    kind: bool
    motion: bool
    pitch: bool


def judge(measured: Measured, scene: Scene) -> Verdict:
    """Compares a clip with the scene that its caption describes."""
    seen = _matched(measured, scene)
    pairs = list(zip(seen, scene.things, strict=True)) if len(seen) == len(scene.things) else []
    return Verdict(
        colour=bool(pairs) and all(one.colour is thing.colour for one, thing in pairs),
        backdrop=measured.backdrop is scene.backdrop.colour,
        kind=bool(pairs) and all(one.kind is thing.kind for one, thing in pairs),
        motion=bool(pairs) and all(one.motion is thing.motion for one, thing in pairs),
        pitch=bool(seen) and seen[0].pitch_error_semitones <= 1.0,
    )


def shares(verdicts: list[Verdict]) -> dict[str, float]:
    """Share of right answers by attribute; NaN without a verdict."""
    count = len(verdicts) or float("nan")
    return {field.name: sum(getattr(verdict, field.name) for verdict in verdicts) / count for field in fields(Verdict)}


def _matched(measured: Measured, scene: Scene) -> list[MeasuredThing]:
    """The measured things in the scene's order: each where its colour is named, the rest in the places left."""
    left = list(measured.things[: len(scene.things)])
    order: list[MeasuredThing | None] = []
    for thing in scene.things:
        same = next((one for one in left if one.colour is thing.colour), None)
        if same is not None:
            left.remove(same)
        order.append(same)
    return [one for slot in order if (one := slot or (left.pop(0) if left else None)) is not None]

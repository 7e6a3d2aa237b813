"""Whether a measured clip shows what is asked for, and whether sound and picture agree."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fastvideo.eval.meters.clip import Measured, MeasuredThing
from fastvideo.eval.world.asked import Asked


@dataclass(frozen=True)
class Verdict:
    """What is right, None where nothing is asked; with two things, whether it is right for both.

    ``pitch`` is that of the first voice.
    """

    colour: bool | None
    backdrop: bool | None
    kind: bool | None
    motion: bool | None
    pitch: bool | None


def judge(measured: Measured, asked: Asked, *, with_pitch: bool = True) -> Verdict:
    """Compares a clip with what its prompt asks for. Pitch is asked of every clip, unless told otherwise."""
    seen = _matched(measured, asked)
    complete = len(seen) == len(asked.things)

    def right(name: str) -> bool | None:
        wanted = [getattr(thing, name) for thing in asked.things]
        if all(want is None for want in wanted):
            return None
        return complete and all(
            want is None or getattr(one, name) is want for one, want in zip(seen, wanted, strict=True)
        )

    first = next(iter(seen or measured.things), None)
    return Verdict(
        colour=right("colour"),
        backdrop=None if asked.backdrop is None else measured.backdrop is asked.backdrop,
        kind=right("kind"),
        motion=right("motion"),
        pitch=(first is not None and first.pitch_error_semitones <= 1.0) if with_pitch else None,
    )


def shares(verdicts: list[Verdict]) -> dict[str, float]:
    """Share of right answers by attribute; NaN where there is none."""
    answers = {field.name: [getattr(verdict, field.name) for verdict in verdicts] for field in fields(Verdict)}
    given = {name: [answer for answer in found if answer is not None] for name, found in answers.items()}
    return {name: sum(found) / len(found) if found else float("nan") for name, found in given.items()}


def _matched(measured: Measured, asked: Asked) -> list[MeasuredThing]:
    """The measured things in the order asked: each where its colour is named, the rest in the places left."""
    left = list(measured.things[: len(asked.things)])
    order: list[MeasuredThing | None] = []
    for thing in asked.things:
        same = next((one for one in left if one.colour is thing.colour), None)
        if same is not None:
            left.remove(same)
        order.append(same)
    return [one for slot in order if (one := slot or (left.pop(0) if left else None)) is not None]

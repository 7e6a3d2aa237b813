"""Draws stories: a first segment, then segments that keep, change or replace its scene. Seeded and endless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from numpy.random import Generator, default_rng

from fastvideo.eval.world.scene import Backdrop, Colour, Kind, Motion, Pattern, Place, Scene, Size, Thing
from scripts.train_embedded.world.caption import continuation_caption, opening_caption
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.choice import pick
from scripts.train_embedded.world.held_out import Split, combinations, is_drawn, is_held_out
from scripts.train_embedded.world.motion import BOUNCE_HEIGHT, ORBIT_RADIUS, Arena, Pose, Trajectory
from scripts.train_embedded.world.segment import Segment, first_segment

FIRST_SEGMENT_FRAMES = 57
# With the 9 frames that a segment shares with the one before it, it is as long as a first one.
NEXT_SEGMENT_FRAMES = 48

_PAIR_SHARE = 0.15
_ELSEWHERE_SHARE = 0.4
_HALVES = {
    "rows": (Arena(bottom=0.5), Arena(top=0.5)),
    "columns": (Arena(right=0.5), Arena(left=0.5)),
}
_LANE_MOTIONS = {
    "rows": (Motion.LEFT, Motion.RIGHT, Motion.SPIN, Motion.STILL),
    "columns": (Motion.UP, Motion.DOWN, Motion.BOUNCE, Motion.SPIN, Motion.STILL),
}
# Where a motion leaves a choice of place; two things have their lanes.
_PLACES: dict[Motion, tuple[Place, ...]] = {
    Motion.LEFT: (Place.TOP, Place.BOTTOM),
    Motion.RIGHT: (Place.TOP, Place.BOTTOM),
    Motion.UP: (Place.LEFT, Place.RIGHT),
    Motion.DOWN: (Place.LEFT, Place.RIGHT),
    Motion.BOUNCE: (Place.LEFT, Place.RIGHT),
    Motion.SPIN: (Place.LEFT, Place.RIGHT, Place.TOP, Place.BOTTOM),
    Motion.STILL: (Place.LEFT, Place.RIGHT, Place.TOP, Place.BOTTOM),
}
_OFF_MIDDLE = {Place.LEFT: (-0.25, 0.0), Place.RIGHT: (0.25, 0.0), Place.TOP: (0.0, -0.25), Place.BOTTOM: (0.0, 0.25)}
# Speed of directed motions in frame heights per second, growth of the radius likewise, and turns per second.
_RATES = {
    **dict.fromkeys((Motion.LEFT, Motion.RIGHT, Motion.UP, Motion.DOWN), 0.18),
    Motion.GROW: 0.05,
    # Between two latent frames (a third of a second) a star turns by a quarter of the angle at which it looks the same.
    Motion.SPIN: 0.15,
    Motion.CIRCLE: 0.3,
}
_CHANGE_SHARES = {
    Change.NONE: 0.22,
    Change.COLOUR: 0.18,
    Change.MOTION: 0.26,
    Change.KIND: 0.16,
    Change.BACKDROP: 0.08,
    Change.SCENE: 0.1,
}


@dataclass(frozen=True)
class Shot:
    """A segment with its caption. ``change`` is None for the first; ``changed`` is the index of the thing changed."""

    segment: Segment
    caption: str
    change: Change | None = None
    changed: int | None = None


def story(
    seed: int, index: int, *, num_segments: int = 3, next_frames: int = NEXT_SEGMENT_FRAMES, split: Split = Split.TRAIN
) -> tuple[Shot, ...]:
    """The ``index``-th story of a seed: 57 frames, then segments of ``next_frames``.

    Training stories hold no held-out combination at any time; in held-out ones every scene begins with nothing else.
    """
    rng = default_rng([seed, index])
    scene, trajectories = _opening(rng, split, 0)
    shots = [Shot(first_segment(scene, FIRST_SEGMENT_FRAMES, trajectories), opening_caption(scene, rng))]
    while len(shots) < num_segments:
        shots.append(_next_shot(rng, split, shots[-1], next_frames))
    return tuple(shots)


def stories(
    seed: int, *, num_segments: int = 3, next_frames: int = NEXT_SEGMENT_FRAMES, split: Split = Split.TRAIN
) -> Iterator[tuple[Shot, ...]]:
    """All stories of a seed, without end."""
    for index in count():
        yield story(seed, index, num_segments=num_segments, next_frames=next_frames, split=split)


def continuation(shot: Shot, change: Change, num_frames: int, rng: Generator, split: Split = Split.TRAIN) -> Shot:
    """The shot after ``shot``, with that change. Raises ValueError where the scene admits none such."""
    segment = shot.segment
    scene = segment.scene
    if change is Change.NONE:
        return Shot(
            segment.continued(scene, num_frames, [None] * len(scene.things)),
            continuation_caption(scene, Change.NONE, None, shot.caption, rng),
            change,
        )
    if change is Change.SCENE:
        scene, trajectories = _opening(rng, split, segment.end_frame)
        return Shot(segment.dissolved(scene, num_frames, trajectories), opening_caption(scene, rng), change)
    if change is Change.BACKDROP:
        colours = [thing.colour for thing in scene.things]
        backdrops = [
            backdrop
            for backdrop in _all_backdrops()
            if backdrop != scene.backdrop and all(backdrop.contrasts_with(colour) for colour in colours)
        ]
        scene = replace(scene, backdrop=pick(rng, backdrops))
        caption = continuation_caption(scene, change, None, shot.caption, rng)
        return Shot(segment.continued(scene, num_frames, [None] * len(scene.things)), caption, change)
    changes = [(i, thing) for i in range(len(scene.things)) for thing in _changed_things(segment, i, change, split)]
    if not changes:
        raise ValueError(f"nothing in this scene can change its {change}")
    which, thing = pick(rng, changes)
    things = tuple(thing if i == which else other for i, other in enumerate(scene.things))
    scene = replace(scene, things=things)
    trajectories_after: list[Trajectory | None] = [None] * len(things)
    if change is Change.MOTION:
        actor = segment.actors[which]
        pose = actor.trajectory.pose_at(segment.end_frame)
        trajectories_after[which] = Trajectory(
            thing.motion, segment.end_frame, pose, actor.trajectory.arena, _RATES.get(thing.motion, 0.0)
        )
    caption = continuation_caption(scene, change, which, shot.caption, rng)
    return Shot(segment.continued(scene, num_frames, trajectories_after), caption, change, which)


def _next_shot(rng: Generator, split: Split, shot: Shot, num_frames: int) -> Shot:
    changes = list(_CHANGE_SHARES)
    while True:
        change = changes[int(rng.choice(len(changes), p=list(_CHANGE_SHARES.values())))]
        if change in (Change.NONE, Change.BACKDROP, Change.SCENE) or any(
            _changed_things(shot.segment, i, change, split) for i in range(len(shot.segment.scene.things))
        ):
            return continuation(shot, change, num_frames, rng, split)


def _changed_things(segment: Segment, index: int, change: Change, split: Split) -> list[Thing]:
    """What a thing may become by a change of one attribute; a directed motion needs room to be seen."""
    scene, thing = segment.scene, segment.scene.things[index]
    others = [other for i, other in enumerate(scene.things) if i != index]
    options: list[Thing] = []
    if change is Change.COLOUR:
        taken = {other.colour for other in others} | {thing.colour}
        options = [
            replace(thing, colour=colour)
            for colour in Colour
            if colour not in taken and scene.backdrop.contrasts_with(colour)
        ]
    elif change is Change.KIND:
        taken_kinds = {other.kind for other in others} | {thing.kind}
        options = [replace(thing, kind=kind) for kind in Kind if kind not in taken_kinds]
    elif change is Change.MOTION:
        trajectory = segment.actors[index].trajectory
        motions = Motion if not others else _LANE_MOTIONS[_lane_of(trajectory.arena)]
        options = [
            replace(thing, motion=motion)
            for motion in motions
            if motion is not thing.motion and _has_room(trajectory, segment.end_frame, motion)
        ]
    return [
        option
        for option in options
        if is_drawn(option.kind, option.motion)
        and not (split is Split.TRAIN and is_held_out(option.colour, option.kind, option.motion))
    ]


def _has_room(trajectory: Trajectory, frame: int, motion: Motion) -> bool:
    pose = trajectory.pose_at(frame)
    (left, right), (top, bottom) = trajectory.arena.reach(pose.radius)
    room = {
        Motion.LEFT: pose.x - left,
        Motion.RIGHT: right - pose.x,
        Motion.UP: pose.y - top,
        Motion.DOWN: bottom - pose.y,
        Motion.GROW: 10 * (0.26 - pose.radius),
        Motion.BOUNCE: bottom - top,
        Motion.CIRCLE: min(bottom - top, right - left),
    }
    return room.get(motion, 1.0) >= 0.2


def _lane_of(arena: Arena) -> str:
    return next(name for name, halves in _HALVES.items() if arena in halves)


def _opening(rng: Generator, split: Split, start_frame: int) -> tuple[Scene, list[Trajectory]]:
    lane = pick(rng, list(_HALVES)) if rng.random() < _PAIR_SHARE else ""
    things = _cast(rng, split, lane)
    arenas = _HALVES[lane] if lane else (Arena(),)
    backdrops = [b for b in _all_backdrops() if all(b.contrasts_with(thing.colour) for thing in things)]
    # Half of the backdrops are plain.
    plain = [backdrop for backdrop in backdrops if backdrop.pattern is Pattern.PLAIN]
    backdrop = pick(rng, plain if rng.random() < 0.5 else backdrops)
    trajectories = [_fresh_trajectory(thing, arena, start_frame) for thing, arena in zip(things, arenas, strict=True)]
    return Scene(tuple(things), backdrop), trajectories


def _cast(rng: Generator, split: Split, lane: str) -> list[Thing]:
    """One thing, or two in lanes: one above the other only if one of them moves sideways, so that no caption could
    mean either."""
    admitted = combinations(split)
    things: list[Thing] = []
    while len(things) < (2 if lane else 1):
        # Motions are drawn evenly, then what moves so: the combinations of a motion are not equally many.
        motion = pick(rng, list(_LANE_MOTIONS[lane]) if lane else list(Motion))
        options = [
            (colour, kind)
            for colour, kind, its_motion in admitted
            if its_motion is motion and not any(colour is other.colour or kind is other.kind for other in things)
        ]
        if not options:
            continue
        colour, kind = pick(rng, options)
        place = Place.MIDDLE
        if not lane and motion in _PLACES and rng.random() < _ELSEWHERE_SHARE:
            place = pick(rng, list(_PLACES[motion]))
        size = Size.MEDIUM if motion is Motion.GROW else pick(rng, [Size.SMALL, Size.MEDIUM] if lane else list(Size))
        things.append(Thing(kind, colour, size, motion, place))
        if lane == "rows" and len(things) == 2 and not any(thing.motion.direction[0] for thing in things):
            things.clear()
    return things


def _fresh_trajectory(thing: Thing, arena: Arena, start_frame: int) -> Trajectory:
    """A start that follows from the words alone, from which a directed thing moves far before it turns."""
    radius = thing.size.radius
    (left, right), (top, bottom) = arena.reach(radius)
    off_x, off_y = _OFF_MIDDLE.get(thing.place, (0.0, 0.0))
    x = min(max((arena.left + arena.right) / 2 + off_x, left), right)
    y = min(max((arena.top + arena.bottom) / 2 + off_y, top), bottom)
    match thing.motion:
        case Motion.RIGHT:
            x = left
        case Motion.LEFT:
            x = right
        case Motion.DOWN:
            y = top
        case Motion.UP:
            y = bottom
        case Motion.BOUNCE:
            y = max(top, bottom - BOUNCE_HEIGHT)
        case Motion.CIRCLE:
            y -= ORBIT_RADIUS
    return Trajectory(thing.motion, start_frame, Pose(x, y, radius), arena, _RATES.get(thing.motion, 0.0))


def _all_backdrops() -> list[Backdrop]:
    return [Backdrop(pattern, colour) for pattern in Pattern for colour in Colour]

"""A stretch of a story as plain data, and how the next one continues it exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastvideo.eval.meters.track import Floats, Track
from fastvideo.eval.world import FPS
from fastvideo.eval.world.scene import Backdrop, Scene, Thing
from scripts.train_embedded.world.motion import Trajectory

# How long a change of colour, shape or backdrop takes from the segment's start.
TRANSITION_S = 1.0


@dataclass(frozen=True)
class Actor:
    """A thing on its way, and what it was and how it moved before the segment."""

    thing: Thing
    before: Thing
    trajectory: Trajectory
    trajectory_before: Trajectory
    voice: int


@dataclass(frozen=True)
class Segment:
    """``num_frames`` frames of a scene from ``start_frame`` of the story on.

    ``leaving`` are the actors of another scene that dissolves into this one; it is empty when the actors stay.
    """

    scene: Scene
    actors: tuple[Actor, ...]
    start_frame: int
    num_frames: int
    backdrop_before: Backdrop
    leaving: tuple[Actor, ...] = ()

    def __post_init__(self) -> None:
        if self.num_frames <= TRANSITION_S * FPS:
            raise ValueError(
                f"a segment holds a whole transition: more than {TRANSITION_S * FPS:g} frames, got {self.num_frames}"
            )

    @property
    def end_frame(self) -> int:
        return self.start_frame + self.num_frames

    @property
    def frame_times_s(self) -> Floats:
        """Story times of the frames, [num_frames]."""
        return np.arange(self.start_frame, self.end_frame) / FPS

    def arrival(self, seconds: Floats) -> Floats:
        """How much of a change has happened at story times [T]: 0 at the segment's start, smoothly to 1."""
        share = np.clip((seconds - self.start_frame / FPS) / TRANSITION_S, 0, 1)
        arrived: Floats = share * share * (3 - 2 * share)
        return arrived

    def tracks(self) -> tuple[Track, ...]:
        """The actors' poses at every frame."""
        return tuple(actor.trajectory.at(self.frame_times_s) for actor in self.actors)

    def continued(self, scene: Scene, num_frames: int, trajectories: Sequence[Trajectory | None]) -> Segment:
        """The next segment with the same actors, changed to ``scene``; None keeps a trajectory, edges and all."""
        if len(scene.things) != len(self.actors):
            raise ValueError(f"expected {len(self.actors)} things, got {len(scene.things)}; dissolve to another count")
        actors = tuple(
            Actor(thing, actor.thing, trajectory or actor.trajectory, actor.trajectory, actor.voice)
            for actor, thing, trajectory in zip(self.actors, scene.things, trajectories, strict=True)
        )
        return Segment(scene, actors, self.end_frame, num_frames, self.scene.backdrop)

    def dissolved(self, scene: Scene, num_frames: int, trajectories: Sequence[Trajectory]) -> Segment:
        """The next segment with new actors: the old ones go on for a moment while they fade out."""
        actors = cast_of(scene, trajectories)
        leaving = tuple(replace(actor, before=actor.thing, trajectory_before=actor.trajectory) for actor in self.actors)
        return Segment(scene, actors, self.end_frame, num_frames, self.scene.backdrop, leaving)


def cast_of(scene: Scene, trajectories: Sequence[Trajectory]) -> tuple[Actor, ...]:
    """Fresh actors for the scene's things."""
    return tuple(
        Actor(thing, thing, trajectory, trajectory, voice)
        for voice, (thing, trajectory) in enumerate(zip(scene.things, trajectories, strict=True))
    )


def first_segment(scene: Scene, num_frames: int, trajectories: Sequence[Trajectory]) -> Segment:
    """The segment that a story begins with."""
    return Segment(scene, cast_of(scene, trajectories), 0, num_frames, scene.backdrop)

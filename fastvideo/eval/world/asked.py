"""What a prompt asks for: the attributes that it names, and no others."""

from __future__ import annotations

from dataclasses import dataclass

from fastvideo.eval.world.scene import Colour, Kind, Motion, Scene


@dataclass(frozen=True)
class AskedThing:
    """None stands for what is left open."""

    colour: Colour | None = None
    kind: Kind | None = None
    motion: Motion | None = None


@dataclass(frozen=True)
class Asked:
    """The things in the order in which they are named, and the backdrop's colour."""

    things: tuple[AskedThing, ...] = ()
    backdrop: Colour | None = None


def asked_by(scene: Scene) -> Asked:
    """What a caption asks for that leaves nothing of the scene out."""
    things = tuple(AskedThing(thing.colour, thing.kind, thing.motion) for thing in scene.things)
    return Asked(things, scene.backdrop.colour)

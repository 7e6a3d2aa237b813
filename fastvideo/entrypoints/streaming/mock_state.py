"""What the fake generator carries from a segment to the next: its own key in the metadata of an LTX-2 state."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastvideo.api.errors import StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.mock_motion import Pose
from fastvideo.entrypoints.streaming.mock_picture import TRAIL_FRAMES, Look
from fastvideo.entrypoints.streaming.mock_scene import Shape
from fastvideo.entrypoints.streaming.mock_sound import SoundState
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState

_KEY = "mock"

Part: TypeAlias = Annotated[float, Field(ge=-2, le=3)]
Turn: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Channel: TypeAlias = Annotated[int, Field(ge=0, le=255)]
Hertz: TypeAlias = Annotated[float, Field(ge=20, le=5000)]


class Memory(BaseModel):
    """The end of a segment. States come back from clients, so each value is bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    end_s: float = Field(ge=0, le=1e8)
    trail: Annotated[list[tuple[Part, Part]], Field(min_length=1, max_length=TRAIL_FRAMES)]
    turn: Turn
    shape: Shape
    shape_rgb: tuple[Channel, Channel, Channel]
    backdrop_rgb: tuple[Channel, Channel, Channel]
    spread: Turn
    chord_hz: tuple[Hertz, Hertz, Hertz]
    phases: tuple[Turn, Turn, Turn]

    @property
    def pose(self) -> Pose:
        """Where the shape stood in the last frame."""
        x, y = self.trail[-1]
        return Pose(x, y, self.turn)

    @property
    def look(self) -> Look:
        """What the next segment fades in from."""
        return Look(self.shape, self.shape_rgb, self.backdrop_rgb, self.spread)

    @property
    def sound(self) -> SoundState:
        """Where the oscillators stand."""
        return SoundState(self.chord_hz, self.phases)


def write_state(segment_index: int, memory: Memory, audio_sample_rate_hz: int) -> ContinuationState:
    """A valid LTX-2 state after `segment_index`."""
    return LTX2ContinuationState(
        segment_index=segment_index,
        audio_sample_rate=audio_sample_rate_hz,
        audio_conditioning_strength=0.0,
        metadata={_KEY: memory.model_dump(mode="json")},
    ).to_continuation_state()


def read_state(state: ContinuationState) -> tuple[int, Memory | None]:
    """The segment that was finished, and the memory unless another LTX-2 generator wrote it. Raises StateInvalid."""
    ltx2 = LTX2ContinuationState.from_continuation_state(state)
    if _KEY not in ltx2.metadata:
        return ltx2.segment_index, None
    try:
        return ltx2.segment_index, Memory.model_validate(ltx2.metadata[_KEY])
    except ValidationError as error:
        raise StateInvalid(f"metadata.{_KEY}: expected what the fake generator wrote there") from error

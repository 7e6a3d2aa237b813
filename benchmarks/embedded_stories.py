"""The stories that a model is asked to tell, and who tells them: a generator, or the world's own renderer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from fastvideo.api.results import VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import ContinuationState, GenerationRequest, OutputConfig, SamplingConfig
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.eval.world import FPS
from scripts.train_embedded.world.change import Change
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import NEXT_SEGMENT_FRAMES, Shot, continuation, story

SIZE_PX = 256
_RENDERED_HZ = 24000
_UNCHANGED_SEGMENTS = 2
_OTHER_CHANGES = (Change.MOTION, Change.KIND, Change.BACKDROP)


@dataclass(frozen=True)
class Story:
    """A first shot, and ways to go on from it, each some shots long."""

    first: Shot
    branches: tuple[tuple[Shot, ...], ...]


@dataclass(frozen=True)
class Clip:
    """The new frames of a segment, uint8 [T, H, W, 3], and their sound, float32 [channels, N]."""

    frames: NDArray[np.uint8]
    samples: NDArray[np.float32]
    sample_rate_hz: int


# Tells a story: its first clip, then the clips of each branch. The number makes the noise differ from story to story.
Teller = Callable[[Story, int], tuple[Clip, list[list[Clip]]]]


def held_out_stories(seed: int, count: int, *, continued: bool = True) -> Iterator[Story]:
    """Stories of combinations that training never shows.

    Every other one goes on twice with the same prompt; the rest go on with a new colour, and with another change.
    """
    for index in range(count):
        (first,) = story(seed, index, num_segments=1, split=Split.HELD_OUT)
        rng = default_rng([seed, index, 3])
        branches: list[tuple[Shot, ...]] = []
        if continued and index % 2 == 0:
            shots = [first]
            while len(shots) <= _UNCHANGED_SEGMENTS:
                shot = continuation(shots[-1], Change.NONE, NEXT_SEGMENT_FRAMES, rng, Split.HELD_OUT)
                shots.append(replace(shot, caption=first.caption))
            branches = [tuple(shots[1:])]
        elif continued:
            other = _OTHER_CHANGES[index // 2 % len(_OTHER_CHANGES)]
            for change in (Change.COLOUR, other):
                try:
                    branches.append((continuation(first, change, NEXT_SEGMENT_FRAMES, rng, Split.HELD_OUT),))
                except ValueError:
                    # A scene may have no room for another motion.
                    continue
        yield Story(first, tuple(branches))


def told_by_model(generator: VideoGenerator, sampling: Mapping[str, Any]) -> Teller:
    """Each shot's caption is a prompt for ``generator``; nothing else of the story reaches it.

    ``sampling`` holds the fields of SamplingConfig that differ from the generator's preset.
    """

    def clip_of(prompt: str, seed: int, state: ContinuationState | None) -> tuple[Clip, ContinuationState | None]:
        request = GenerationRequest(
            prompt=prompt,
            sampling=SamplingConfig(**sampling, seed=seed),
            output=OutputConfig(return_state=True, save_video=False, return_frames=False),
            state=state,
        )
        frames, samples, rate_hz = [], None, None
        for event in generator.stream(request):
            if isinstance(event, VideoPartialEvent):
                frames.append(event.frames)
                if event.audio is not None:
                    samples, rate_hz = event.audio, event.audio_sample_rate
            elif isinstance(event, VideoFinalEvent):
                state = event.continuation_state
        if samples is None or rate_hz is None:
            raise RuntimeError(f"no sound came for {prompt!r}")
        return Clip(np.concatenate(frames), samples, rate_hz), state

    def tell(asked: Story, number: int) -> tuple[Clip, list[list[Clip]]]:
        first, state = clip_of(asked.first.caption, number, None)
        branches = []
        for shots in asked.branches:
            clips, reached = [], state
            for shot in shots:
                clip, reached = clip_of(shot.caption, number, reached)
                clips.append(clip)
            branches.append(clips)
        return first, branches

    return tell


def told_by_renderer(asked: Story, number: int) -> tuple[Clip, list[list[Clip]]]:
    """What the world itself shows: the best that any model could do, by the same meters."""

    def clip_of(shot: Shot) -> Clip:
        return Clip(render(shot.segment, SIZE_PX), sound_of(shot.segment, _RENDERED_HZ), _RENDERED_HZ)

    return clip_of(asked.first), [[clip_of(shot) for shot in shots] for shots in asked.branches]


def joined(clips: list[Clip]) -> tuple[Clip, list[int]]:
    """One clip of several, and the frames at which the later ones begin."""
    lengths = np.cumsum([len(clip.frames) for clip in clips])
    whole = Clip(
        np.concatenate([clip.frames for clip in clips]),
        np.concatenate([clip.samples for clip in clips], axis=1),
        clips[0].sample_rate_hz,
    )
    return whole, [int(length) for length in lengths[:-1]]


def second_half(clip: Clip) -> Clip:
    """The part of a clip in which a change has arrived."""
    frame = len(clip.frames) // 2
    sample = frame * clip.sample_rate_hz // FPS
    return Clip(clip.frames[frame:], clip.samples[:, sample:], clip.sample_rate_hz)

"""The fake generator behaves like a real one: events, pace, cancellation, continuation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import ConfigValidationError, GenerationCancelled, StateInvalid
from fastvideo.api.results import VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import ContinuationState, GenerationRequest, OutputConfig, SamplingConfig
from fastvideo.entrypoints.streaming.mock_generator import AUDIO_SAMPLE_RATE_HZ, MockGenerator
from fastvideo.entrypoints.streaming.mock_motion import Pose
from fastvideo.entrypoints.streaming.mock_state import Memory, read_state
from fastvideo.media.strip import read_strip
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class Sleeper(CancellationToken):
    """Waiting moves the clock instead; may be told to cancel at a time."""

    def __init__(self, clock: Clock, cancel_at_s: float = float("inf")) -> None:
        super().__init__()
        self.clock = clock
        self.cancel_at_s = cancel_at_s

    def wait(self, timeout_s: float) -> bool:
        end_s = self.clock.now_s + timeout_s
        if self.cancel_at_s <= end_s:
            self.clock.now_s = self.cancel_at_s
            self.cancel()
            return True
        self.clock.now_s = end_s
        return self.cancelled


def request(
    prompt: Any = "a red ball",
    *,
    state: ContinuationState | None = None,
    frames: int = 25,
    steps: int = 4,
    seed: int = 1,
) -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt,
        sampling=SamplingConfig(width=256, height=64, num_frames=frames, fps=24, num_inference_steps=steps, seed=seed),
        output=OutputConfig(return_state=True),
        state=state,
    )


def final(events: list[VideoEvent]) -> VideoFinalEvent:
    assert isinstance(events[-1], VideoFinalEvent)
    return events[-1]


def next_state(generator: MockGenerator, wanted: GenerationRequest) -> ContinuationState:
    state = final(list(generator.stream(wanted))).continuation_state
    assert state is not None
    # As it comes back from a store or a client.
    return ContinuationState(kind=state.kind, payload=json.loads(json.dumps(state.payload)))


def test_events_come_in_the_agreed_order() -> None:
    events = list(MockGenerator().stream(request(steps=3)))
    assert events[:4] == [VideoProgressEvent(step, 3) for step in range(4)]
    partials = events[4:-1]
    assert all(isinstance(event, VideoPartialEvent) for event in partials)
    assert [event.index for event in partials if isinstance(event, VideoPartialEvent)] == list(range(len(partials)))
    assert final(events).metadata["timings"].keys() == {"text", "denoise", "decode"}


def test_partials_hold_every_frame_once_and_the_first_has_the_whole_sound() -> None:
    partials = [event for event in MockGenerator().stream(request()) if isinstance(event, VideoPartialEvent)]
    frames = np.concatenate([partial.frames for partial in partials])
    assert (frames.shape, frames.dtype) == ((25, 64, 256, 3), np.uint8)
    assert [read_strip(frame) for frame in frames] == [(0, index) for index in range(25)]
    assert len(partials[0].frames) <= 2
    assert max(len(partial.frames) for partial in partials) == 8
    audio = partials[0].audio
    assert (audio.shape, audio.dtype) == ((2, 25_000), np.float32)
    assert partials[0].audio_sample_rate == AUDIO_SAMPLE_RATE_HZ
    assert all(partial.audio is None for partial in partials[1:])


def test_generate_gives_the_documented_dict() -> None:
    result = MockGenerator().generate(request())
    assert result["frames"].shape == (25, 64, 256, 3)
    assert result["audio"].shape == (2, 25_000)
    assert result["audio_sample_rate"] == 24_000
    assert result["size"] == (64, 256, 25)
    assert result["state"].kind == "ltx2.v1"


def test_state_comes_only_when_asked_for() -> None:
    wanted = request()
    wanted.output.return_state = False
    assert final(list(MockGenerator().stream(wanted))).continuation_state is None


def test_the_same_request_and_state_give_the_same_segment() -> None:
    state = next_state(MockGenerator(), request("a blue star"))
    first = MockGenerator().generate(request("going left", state=state))
    second = MockGenerator().generate(request("going left", state=state))
    assert np.array_equal(first["frames"], second["frames"])
    assert np.array_equal(first["audio"], second["audio"])
    assert first["state"] == second["state"]


def test_it_continues_the_state_it_is_given() -> None:
    generator = MockGenerator()
    state = next_state(generator, request())
    for segment in (1, 2):
        assert LTX2ContinuationState.from_continuation_state(state).segment_index == segment - 1
        frames = generator.generate(request(state=state))["frames"]
        assert read_strip(frames[0]) == (segment, 0)
        state = next_state(generator, request(state=state))
    _, memory = read_state(state)
    assert memory is not None
    assert memory.end_s == pytest.approx(3 * 25 / 24)


def test_a_state_of_another_ltx2_generator_is_continued_by_its_index() -> None:
    foreign = LTX2ContinuationState(segment_index=6, metadata={"model": "real"}).to_continuation_state()
    state = next_state(MockGenerator(), request(state=foreign))
    assert LTX2ContinuationState.from_continuation_state(state).segment_index == 7


def test_sound_goes_on_over_a_join() -> None:
    generator = MockGenerator()
    first = generator.generate(request(frames=121))
    second = generator.generate(request("a green star spinning", state=first["state"], frames=121))
    joined = np.concatenate([first["audio"], second["audio"]], axis=1)
    bend = np.abs(np.diff(joined, 2, axis=1)).max(axis=0)
    join = first["audio"].shape[1]
    assert bend[join - 3 : join + 3].max() < bend.max()


def test_the_picture_goes_on_over_a_join() -> None:
    generator = MockGenerator()
    first = generator.generate(request("a red ball on blue"))
    second = generator.generate(request("a white star falling fast over green", state=first["state"]))
    body = slice(16, 40)
    inside = np.abs(first["frames"][-1][body].astype(int) - first["frames"][-2][body]).mean()
    across = np.abs(second["frames"][0][body].astype(int) - first["frames"][-1][body]).mean()
    # The old scene has not yet faded by more than a fourteenth.
    assert across < inside + 16


@pytest.mark.parametrize(
    "mock",
    [
        None,
        3,
        [],
        {},
        {"end_s": 1},
        {"end_s": float("inf")},
    ],
)
def test_a_malformed_memory_is_refused(mock: object) -> None:
    state = ContinuationState("ltx2.v1", {"metadata": {"mock": mock}})
    with pytest.raises(StateInvalid):
        list(MockGenerator().stream(request(state=state)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_memory_is_refused_or_bounded(data: st.DataObject) -> None:
    good = next_state(MockGenerator(), request(frames=2)).payload["metadata"]["mock"]
    key = data.draw(st.sampled_from(sorted(good)))
    value = data.draw(
        st.none()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.integers() | st.floats(), max_size=4)
    )
    state = ContinuationState("ltx2.v1", {"metadata": {"mock": {**good, key: value}}})
    try:
        _, memory = read_state(state)
    except StateInvalid:
        return
    assert isinstance(memory, Memory)
    assert isinstance(memory.pose, Pose)
    list(MockGenerator().stream(request(state=state, frames=2)))


@pytest.mark.parametrize(
    "state",
    [
        ContinuationState("other.v1", {}),
        ContinuationState("ltx2.v1", {"schema_version": 2}),
        ContinuationState("ltx2.v1", {"segment_index": -1}),
        ContinuationState("ltx2.v1", {"segment_index": True}),
    ],
)
def test_other_bad_states_are_refused_too(state: ContinuationState) -> None:
    with pytest.raises(StateInvalid):
        next(MockGenerator().stream(request(state=state)))


@pytest.mark.parametrize("prompt", [None, ["one", "two"]])
def test_it_takes_exactly_one_prompt(prompt: Any) -> None:
    with pytest.raises(ConfigValidationError, match="expected one prompt"):
        next(MockGenerator().stream(request(prompt)))


def timed(generator: MockGenerator, wanted: GenerationRequest, token: Sleeper) -> Iterator[tuple[float, VideoEvent]]:
    started_s = token.clock.now_s
    for event in generator.stream(wanted, cancel=token):
        yield token.clock.now_s - started_s, event


def test_sleep_is_spread_over_the_steps() -> None:
    clock = Clock()
    events = list(timed(MockGenerator(sleep_ms=800, clock=clock), request(steps=4), Sleeper(clock)))
    steps = [(time_s, event.step) for time_s, event in events if isinstance(event, VideoProgressEvent)]
    assert steps == [(pytest.approx(0.2 * step), step) for step in range(5)]
    assert events[-1][0] == pytest.approx(0.8)


def test_a_realtime_factor_paces_steps_and_chunks() -> None:
    clock = Clock()
    events = list(timed(MockGenerator(realtime_factor=0.9, clock=clock), request(frames=96), Sleeper(clock)))
    total_s = 0.9 * 96 / 24
    steps = [time_s for time_s, event in events if isinstance(event, VideoProgressEvent)]
    assert steps[-1] == pytest.approx(0.7 * total_s)
    chunks = [time_s for time_s, event in events if isinstance(event, VideoPartialEvent)]
    assert chunks[0] == pytest.approx((0.7 + 0.3 * 2 / 96) * total_s)
    assert chunks[-1] == pytest.approx(total_s)
    assert chunks == sorted(chunks)
    assert final([event for _, event in events]).metadata["inference_time_s"] == pytest.approx(total_s)


def test_time_that_the_consumer_takes_is_neither_waited_for_nor_counted() -> None:
    clock = Clock()
    metadata: dict[str, Any] = {}
    for _, event in timed(MockGenerator(realtime_factor=0.5, clock=clock), request(frames=48), Sleeper(clock)):
        if isinstance(event, VideoPartialEvent):
            clock.now_s += 10
        elif isinstance(event, VideoFinalEvent):
            metadata = event.metadata
    assert metadata["timings"]["decode"] < 1000 * 0.3


def test_jitter_changes_segments_within_its_bounds_and_can_be_repeated() -> None:
    def durations() -> list[float]:
        found = []
        for seed in range(40):
            clock = Clock()
            generator = MockGenerator(realtime_factor=1.0, jitter=0.1, clock=clock)
            *_, (time_s, _) = timed(generator, request(seed=seed, frames=24), Sleeper(clock))
            found.append(time_s)
        return found

    first = durations()
    assert 0.9 <= min(first) < 0.95
    assert 1.05 < max(first) <= 1.1
    assert durations() == first


@pytest.mark.parametrize("cancel_at_s", [50.0, 50.35, 51.9])
def test_cancelling_stops_within_a_step_or_a_chunk(cancel_at_s: float) -> None:
    clock = Clock()
    generator = MockGenerator(realtime_factor=1.0, clock=clock)
    with pytest.raises(GenerationCancelled):
        list(timed(generator, request(frames=48), Sleeper(clock, cancel_at_s)))
    assert clock.now_s == cancel_at_s


def test_a_token_that_is_cancelled_already_stops_it_before_any_work() -> None:
    token = CancellationToken()
    token.cancel()
    events = MockGenerator().stream(request(), cancel=token)
    assert next(events) == VideoProgressEvent(0, 4)
    with pytest.raises(GenerationCancelled):
        next(events)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("mock:", (0.0, None, 0.0)),
        ("mock:?rtf=0.9&jitter=0.1", (0.0, 0.9, 0.1)),
        ("mock:?sleep_ms=250", (0.25, None, 0.0)),
    ],
)
def test_a_model_path_sets_the_pace(path: str, expected: tuple[float, float | None, float]) -> None:
    generator = MockGenerator.from_model_path(path)
    assert (generator._sleep_s, generator._realtime_factor, generator._jitter) == expected


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("tiny:?seed=0", "expected mock:"),
        ("mock:model", "expected mock:"),
        ("mock://host?rtf=1", "expected mock:"),
        ("mock:#x", "expected mock:"),
        ("mock:?speed=2", "rtf, jitter, sleep_ms"),
        ("mock:?rtf=1&rtf=2", "at most once"),
        ("mock:?rtf=fast", "expected a number for rtf"),
        ("mock:?rtf=", "expected a number for rtf"),
        ("mock:?rtf=nan", "realtime_factor from 0"),
        ("mock:?rtf=-1", "realtime_factor from 0"),
        ("mock:?jitter=1.5", "jitter from 0 to 1"),
        ("mock:?sleep_ms=inf", "sleep_ms from 0"),
    ],
)
def test_a_wrong_model_path_is_refused_with_a_sentence(path: str, words: str) -> None:
    with pytest.raises(ConfigValidationError, match=words) as caught:
        MockGenerator.from_model_path(path)
    assert caught.value.path == "generator.model_path"

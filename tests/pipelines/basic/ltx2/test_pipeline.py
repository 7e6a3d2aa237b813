import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled
from fastvideo.api.results import VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import ContinuationState, GenerationRequest, OutputConfig, SamplingConfig
from fastvideo.models.ltx2.loader import LTX2Components, load_components
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.segment_inputs import ContinuationSettings
from fastvideo.pipelines.basic.ltx2.segment_plan import latents_of_frames
from fastvideo.pipelines.basic.ltx2.stages.tokens import tokens_to_audio

SIZE = 64
FRAMES = 33
FPS = 24
STEPS = 2


class Clip:
    """What one segment gave."""

    def __init__(self, events: list[VideoEvent]) -> None:
        self.events = events
        self.partials = [event for event in events if isinstance(event, VideoPartialEvent)]
        self.frames = np.concatenate([partial.frames for partial in self.partials])
        self.audio = self.partials[0].audio
        self.sample_rate = self.partials[0].audio_sample_rate
        final = events[-1]
        assert isinstance(final, VideoFinalEvent)
        self.final = final
        self.state = final.continuation_state


def request(**changes: object) -> GenerationRequest:
    sampling = {
        "height": SIZE,
        "width": SIZE,
        "num_frames": FRAMES,
        "fps": FPS,
        "num_inference_steps": STEPS,
        "seed": 1,
    }
    state = changes.pop("state", None)
    prompt = changes.pop("prompt", "a red kite over the dunes")
    return GenerationRequest(
        prompt=prompt,  # type: ignore[arg-type]
        sampling=SamplingConfig(**({"seed": 1} | sampling | changes)),  # type: ignore[arg-type]
        output=OutputConfig(return_state=True),
        state=state,  # type: ignore[arg-type]
    )


def run(pipeline: LTX2Pipeline, asked: GenerationRequest) -> Clip:
    return Clip(list(pipeline.stream(asked)))


@pytest.fixture(scope="module")
def pipeline(components: LTX2Components) -> LTX2Pipeline:
    return LTX2Pipeline(components, LTX2T2VConfig())


@pytest.fixture(scope="module")
def first(pipeline: LTX2Pipeline) -> Clip:
    return run(pipeline, request())


def changed(clip: Clip, **fields: object) -> ContinuationState:
    """The clip's state with some fields set to other values."""
    assert clip.state is not None
    state = LTX2ContinuationState.from_continuation_state(clip.state)
    for name, value in fields.items():
        setattr(state, name, value)
    return state.to_continuation_state()


def test_events_come_as_steps_then_chunks_then_one_final(first: Clip) -> None:
    kinds = [type(event) for event in first.events]
    assert kinds == [VideoProgressEvent] * (STEPS + 1) + [VideoPartialEvent] * len(first.partials) + [VideoFinalEvent]
    assert [event.step for event in first.events if isinstance(event, VideoProgressEvent)] == [0, 1, 2]
    assert [partial.index for partial in first.partials] == list(range(len(first.partials)))


def test_only_the_first_chunk_has_the_sound_and_it_is_as_long_as_the_picture(first: Clip) -> None:
    assert first.frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert first.frames.dtype == np.uint8
    assert all(partial.audio is None for partial in first.partials[1:])
    assert first.audio.shape == (2, FRAMES * first.sample_rate // FPS)
    assert first.audio.dtype == np.float32


def test_picture_and_sound_of_the_tiny_model_are_lively(first: Clip) -> None:
    assert first.frames.std() > 20
    assert np.abs(np.diff(first.frames.astype(np.int16), axis=0)).mean() > 0.5
    assert 0.02 < first.audio.std() < 0.5
    assert np.abs(first.audio).max() < 1.0


def test_the_prompt_and_the_seed_change_the_picture(pipeline: LTX2Pipeline, first: Clip) -> None:
    assert not np.array_equal(run(pipeline, request(prompt="rain on a tin roof")).frames, first.frames)
    assert not np.array_equal(run(pipeline, request(seed=2)).frames, first.frames)


def test_the_same_request_gives_the_same_bits(pipeline: LTX2Pipeline, first: Clip) -> None:
    again = run(pipeline, request())
    assert np.array_equal(again.frames, first.frames)
    assert np.array_equal(again.audio, first.audio)


def test_the_state_says_what_the_next_segment_needs(first: Clip) -> None:
    assert first.state is not None
    state = LTX2ContinuationState.from_continuation_state(first.state)
    assert state.segment_index == 0
    assert state.video_frames is not None
    assert np.array_equal(np.stack(state.video_frames), first.frames[-9:])
    assert first.state.payload["audio_conditioning_strength"] == 0.0
    assert first.state.payload["video_conditioning_strength"] == 1.0
    assert state.audio_latents is not None
    assert latents_of_frames(state.audio_conditioning_num_frames, FPS) >= state.audio_latents.shape[2]
    assert state.audio_sample_rate == first.sample_rate
    assert state.metadata == {"fps": FPS, "stream_frames": FRAMES}


def test_a_state_that_was_stored_as_json_gives_bit_identical_frames_and_sound(
    pipeline: LTX2Pipeline, components: LTX2Components, first: Clip
) -> None:
    assert first.state is not None
    loaded = ContinuationState(**json.loads(json.dumps({"kind": first.state.kind, "payload": first.state.payload})))
    direct = run(pipeline, request(state=first.state))
    elsewhere = run(LTX2Pipeline(components, LTX2T2VConfig()), request(state=loaded))
    assert np.array_equal(direct.frames, elsewhere.frames)
    assert np.array_equal(direct.audio, elsewhere.audio)
    assert direct.state == elsewhere.state


def test_a_continuation_emits_new_frames_only(pipeline: LTX2Pipeline, first: Clip) -> None:
    second = run(pipeline, request(state=first.state))
    assert len(second.frames) == FRAMES - 9
    assert second.audio.shape == (2, (FRAMES - 9) * second.sample_rate // FPS)
    assert second.final.metadata["num_frames"] == FRAMES - 9
    assert second.final.metadata["segment_index"] == 1
    assert second.state is not None
    assert second.state.payload["segment_index"] == 1
    assert second.state.payload["metadata"]["stream_frames"] == 2 * FRAMES - 9


def test_the_carried_latents_are_kept_to_the_bit(pipeline: LTX2Pipeline, first: Clip) -> None:
    batch = pipeline.batch(request(state=first.state))
    config = LTX2T2VConfig()
    for stage in (pipeline.encode_text, pipeline.prepare_latents, pipeline.condition):
        stage(batch, config)
    assert batch.video is not None
    assert batch.audio is not None
    kept_video, kept_audio = batch.video.clean.clone(), batch.audio.clean.clone()
    context = batch.plan.audio_context_latents
    assert torch.equal(batch.video.mask[0, :8], torch.zeros(8))
    assert torch.equal(batch.video.mask[0, 8:], torch.ones(batch.video.mask.shape[1] - 8))
    assert torch.equal(batch.audio.mask[0, :context], torch.zeros(context))
    pipeline.denoise(batch, config)
    assert torch.equal(batch.video.latents[:, :8], kept_video[:, :8])
    assert torch.equal(batch.audio.latents[:, :context], kept_audio[:, :context])
    state = LTX2ContinuationState.from_continuation_state(first.state)  # type: ignore[arg-type]
    assert state.audio_latents is not None
    assert torch.equal(kept_audio[0, :context], state.audio_latents[0, :, -context:].transpose(0, 1).flatten(1))


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_the_sound_at_a_join_is_continuous_to_the_sample(version: str, tmp_path: Path) -> None:
    """What the second segment would play just before the join is what the first one did play."""
    components = load_components(write_tiny_checkpoint(tmp_path, version=version))
    pipeline = LTX2Pipeline(components, LTX2T2VConfig())
    first = run(pipeline, request(num_frames=73))
    batch = pipeline.batch(request(state=first.state))
    config = LTX2T2VConfig()
    for stage in (pipeline.encode_text, pipeline.prepare_latents, pipeline.condition, pipeline.denoise):
        stage(batch, config)
    assert batch.audio is not None
    with torch.inference_mode():
        latents = tokens_to_audio(batch.audio.latents, 8)
        sound = components.vocoder(components.audio_vae.decode(latents))[0].numpy()
    start, _ = batch.plan.sample_span(components.vocoder.sample_rate)
    compared = components.vocoder.sample_rate // 2
    assert first.audio[:, -compared:].std() > 0.02
    np.testing.assert_allclose(sound[:, start - compared : start], first.audio[:, -compared:], atol=1e-4)


@pytest.mark.parametrize(
    "fields",
    [
        {"video_conditioning_strength": 0.5},
        {"video_conditioning_strength": 0.0},
        {"audio_conditioning_strength": 0.5},
        {"audio_conditioning_strength": 1.0},
        {"audio_conditioning_num_frames": 20},
        {"video_position_offset_sec": 0.5},
        {"segment_index": 4},
        {"audio_latents": None},
    ],
    ids=str,
)
def test_each_value_of_a_state_changes_the_next_segment(
    pipeline: LTX2Pipeline, first: Clip, fields: dict[str, object]
) -> None:
    as_made = run(pipeline, request(state=first.state))
    otherwise = run(pipeline, request(state=changed(first, **fields)))
    assert otherwise.frames.shape == as_made.frames.shape
    assert otherwise.audio.shape == as_made.audio.shape
    assert not np.array_equal(otherwise.frames, as_made.frames)
    assert not np.array_equal(otherwise.audio, as_made.audio)


def test_full_picture_strength_keeps_the_frames_and_none_forgets_them(pipeline: LTX2Pipeline, first: Clip) -> None:
    masks = {}
    for strength in (1.0, 0.25, 0.0):
        batch = pipeline.batch(request(state=changed(first, video_conditioning_strength=strength)))
        pipeline.prepare_latents(batch, LTX2T2VConfig())
        pipeline.condition(batch, LTX2T2VConfig())
        assert batch.video is not None
        masks[strength] = float(batch.video.mask[0, 0])
    assert masks == {1.0: 0.0, 0.25: 0.75, 0.0: 1.0}


def test_sound_strength_is_the_mask_itself(pipeline: LTX2Pipeline, first: Clip) -> None:
    for strength in (0.0, 0.25, 1.0):
        batch = pipeline.batch(request(state=changed(first, audio_conditioning_strength=strength)))
        pipeline.prepare_latents(batch, LTX2T2VConfig())
        pipeline.condition(batch, LTX2T2VConfig())
        assert batch.audio is not None
        assert float(batch.audio.mask[0, 0]) == strength


def test_the_conditioning_settings_change_how_many_frames_are_carried_and_dropped(components: LTX2Components) -> None:
    settings = ContinuationSettings(overlap_frames=17, end_offset_frames=2)
    pipeline = LTX2Pipeline(components, LTX2T2VConfig(), settings=settings)
    clip = run(pipeline, request())
    assert len(clip.frames) == FRAMES - 2
    assert clip.state is not None
    state = LTX2ContinuationState.from_continuation_state(clip.state)
    assert state.video_frames is not None
    assert np.array_equal(np.stack(state.video_frames), clip.frames[-17:])
    assert len(run(pipeline, request(state=clip.state)).frames) == FRAMES - 17 - 2


def test_a_segment_shorter_than_the_overlap_can_be_continued(pipeline: LTX2Pipeline) -> None:
    clip = run(pipeline, request(num_frames=1))
    assert len(clip.frames) == 1
    assert len(run(pipeline, request(num_frames=9, state=clip.state)).frames) == 8


# 33 frames with 9 of overlap add 24, a second, and 25 audio latents; 25 frames add no whole number of latents.
@pytest.mark.parametrize(("num_frames", "segments"), [(33, 20), (25, 5)])
def test_twenty_segments_drift_by_no_sample(pipeline: LTX2Pipeline, num_frames: int, segments: int) -> None:
    state, frames, samples, rate = None, 0, 0, 0
    offsets_s = set()
    for _ in range(segments):
        clip = run(pipeline, request(num_frames=num_frames, num_inference_steps=1, state=state))
        state = clip.state
        assert state is not None
        offsets_s.add(state.payload["video_position_offset_sec"])
        frames += len(clip.frames)
        samples += clip.audio.shape[1]
        rate = clip.sample_rate
        assert samples == frames * rate // FPS
        assert clip.audio.std() > 0.02
    assert frames == num_frames + (segments - 1) * (num_frames - 9)
    # Where whole latents are added, each join after the first lies at the same place of a latent.
    assert (len(offsets_s) <= 2) == (num_frames == 33)


def test_tiles_and_a_whole_decode_agree_within_forty_decibels(components: LTX2Components) -> None:
    tiled = run(LTX2Pipeline(components, LTX2T2VConfig(vae_tiling=True)), request(num_frames=121))
    whole = run(LTX2Pipeline(components, LTX2T2VConfig(vae_tiling=False)), request(num_frames=121))
    assert len(tiled.partials) == 3
    assert len(whole.partials) == 1
    error = (tiled.frames.astype(np.float64) - whole.frames) / 255
    assert -10 * np.log10(np.mean(error**2)) > 40


def test_a_causal_decode_is_another_picture_of_the_same_length(components: LTX2Components, first: Clip) -> None:
    clip = run(LTX2Pipeline(components, LTX2T2VConfig(is_causal=True)), request())
    assert clip.frames.shape == first.frames.shape
    assert not np.array_equal(clip.frames, first.frames)


def take(events: Iterator[VideoEvent], kind: type, count: int) -> None:
    while count:
        count -= isinstance(next(events), kind)


@pytest.mark.parametrize(("kind", "count"), [(VideoProgressEvent, 1), (VideoProgressEvent, 2), (VideoPartialEvent, 1)])
def test_a_cancelled_segment_ends_at_the_next_step_or_chunk(pipeline: LTX2Pipeline, kind: type, count: int) -> None:
    cancel = CancellationToken()
    events = pipeline.stream(request(num_frames=121), cancel=cancel)
    take(events, kind, count)
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        next(events)


def test_timings_leave_out_the_time_that_the_consumer_takes(components: LTX2Components) -> None:
    now = [0.0]
    pipeline = LTX2Pipeline(components, LTX2T2VConfig(), clock=lambda: now[0])
    final = None
    for event in pipeline.stream(request()):
        now[0] += 5.0
        final = event
    assert isinstance(final, VideoFinalEvent)
    assert final.metadata["timings"] == {"text": 0.0, "denoise": 0.0, "decode": 0.0, "state": 0.0}
    assert final.metadata["generation_time"] == final.metadata["inference_time_s"] == 0.0


def test_no_state_is_made_when_none_is_asked_for(pipeline: LTX2Pipeline) -> None:
    asked = request(num_frames=9)
    asked.output.return_state = False
    assert run(pipeline, asked).state is None

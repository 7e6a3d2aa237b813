from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvideo.api.errors import ConfigValidationError
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan, latents_of_frames, rounded_frames

MEL_S = Fraction(1, 100)


def audio_duration(latents: int) -> Fraction:
    return (4 * latents - 3) * MEL_S


def following(plan: SegmentPlan, num_frames: int, overlap: int, end_offset: int = 0, lookahead: int = 5) -> SegmentPlan:
    """The next segment, planned from nothing but the values that a state carries."""
    tail = plan.audio_tail(overlap)
    kept = min(latents_of_frames(tail.num_frames, plan.fps), tail.end - tail.begin)
    assert kept == tail.end - tail.begin
    return SegmentPlan.make(
        num_frames,
        plan.fps,
        overlap_frames=overlap,
        end_offset_frames=end_offset,
        audio_context_latents=kept,
        lookahead_latents=lookahead,
        position_offset_s=tail.position_offset_s,
        frames_before=plan.frames_before + plan.new_frames,
    )


@pytest.mark.parametrize(
    ("asked", "made"),
    [(1, 1), (5, 1), (6, 9), (8, 9), (9, 9), (13, 9), (14, 17), (24, 25), (96, 97), (120, 121), (121, 121), (125, 121)],
)
def test_frame_counts_go_to_the_nearest_8k_plus_1(asked: int, made: int) -> None:
    assert rounded_frames(asked) == made


@given(st.integers(1, 2000))
def test_rounded_frame_counts_are_8k_plus_1_and_at_most_4_away(asked: int) -> None:
    made = rounded_frames(asked)
    assert made % 8 == 1
    assert abs(made - asked) <= 4


def test_a_first_segment_of_121_frames_emits_all_of_them_with_sound_of_the_same_length() -> None:
    plan = SegmentPlan.make(121, 24)
    assert plan.latent_frames == 16
    assert plan.new_frames == 121
    assert plan.sample_span(24000) == (0, 121_000)
    assert audio_duration(plan.audio_latents) >= Fraction(121, 24)
    assert audio_duration(plan.audio_latents - 1) < Fraction(121, 24)


def test_a_continuation_of_121_frames_emits_112_and_takes_two_seconds_of_sound() -> None:
    plan = SegmentPlan.make(121, 24)
    assert plan.audio_tail(9).num_frames == 49
    assert plan.audio_tail(9).end - plan.audio_tail(9).begin == 51
    plan = following(plan, 121, 9)
    assert plan.new_frames == 112
    assert plan.sample_span(48000)[1] == 112 * 2000


def test_every_join_of_a_stream_has_the_same_number_of_audio_latents() -> None:
    plan = SegmentPlan.make(121, 24, lookahead_latents=5)
    lengths = set()
    for _ in range(12):
        plan = following(plan, 121, 9)
        lengths.add(plan.audio_latents)
    assert len(lengths) == 1


@pytest.mark.parametrize("sample_rate", [24000, 48000])
def test_129_frames_with_9_of_overlap_add_125_audio_latents_and_drift_by_no_sample(sample_rate: int) -> None:
    plan = SegmentPlan.make(129, 24, lookahead_latents=5)
    samples, places = plan.sample_span(sample_rate)[1], []
    for index in range(1, 21):
        plan = following(plan, 129, 9)
        assert plan.new_frames == 120
        start, count = plan.sample_span(sample_rate)
        samples += count
        assert samples == (129 + 120 * index) * sample_rate // 24
        tail = plan.audio_tail(9)
        places.append((plan.position_offset, start, plan.audio_context_latents, tail.end - plan.audio_context_latents))
    # Every join is the same: what comes beyond the carried sound are 125 latents, of five seconds.
    assert len(set(places[1:])) == 1
    assert places[-1][3] == 125


@given(
    fps=st.integers(5, 60),
    segments=st.lists(st.integers(1, 30).map(lambda k: 8 * k + 1), min_size=20, max_size=20),
    overlap=st.sampled_from([1, 9, 17]),
    end_offset=st.integers(0, 4),
    lookahead=st.integers(0, 8),
    sample_rate=st.sampled_from([16000, 24000, 48000]),
)
@settings(max_examples=60, deadline=None)
def test_picture_and_sound_keep_step_over_twenty_segments(
    fps: int, segments: list[int], overlap: int, end_offset: int, lookahead: int, sample_rate: int
) -> None:
    plan = SegmentPlan.make(
        max(segments[0], overlap + 8), fps, end_offset_frames=end_offset, lookahead_latents=lookahead
    )
    # Where on the stream's timeline the first sample of the segment's own waveform lies, were it all emitted.
    origin = Fraction(0)
    samples = 0
    for num_frames in segments[1:]:
        start, count = plan.sample_span(sample_rate)
        frames = plan.frames_before + plan.new_frames
        samples += count
        assert samples == frames * sample_rate // fps
        # The emitted samples exist.
        assert start >= 0
        assert Fraction(start + count, sample_rate) <= audio_duration(plan.audio_latents)
        # They are the samples of that moment: off by rounding only, however many segments went before.
        first = Fraction(plan.frames_before, fps)
        assert abs(origin + Fraction(start, sample_rate) - first) <= Fraction(1, sample_rate)

        tail = plan.audio_tail(overlap)
        assert 0 <= tail.begin < tail.end <= plan.audio_latents
        # What is carried reaches past the join, as far as it was asked to.
        join = Fraction(plan.end_frame, fps) + plan.position_offset
        assert audio_duration(tail.end) - join >= lookahead * 4 * MEL_S
        # Latent ``end`` of this segment and latent ``kept`` of the next end at the same moment.
        moment = origin + audio_duration(tail.end)
        plan = following(plan, max(num_frames, overlap + 8), overlap, end_offset, lookahead)
        origin = moment - audio_duration(plan.audio_context_latents)
        assert plan.position_offset >= 0


@given(fps=st.integers(1, 60), k=st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_even_the_shortest_segments_can_be_continued(fps: int, k: int) -> None:
    plan = SegmentPlan.make(8 * k + 1, fps)
    tail = plan.audio_tail(8 * k + 1)
    assert tail.position_offset_s >= 0.0
    assert following(plan, 8 * k + 9, 8 * k + 1).new_frames == 8


@pytest.mark.parametrize(("overlap", "end_offset"), [(9, 0), (1, 8), (17, 0)])
def test_a_segment_with_nothing_new_is_refused(overlap: int, end_offset: int) -> None:
    with pytest.raises(ConfigValidationError, match="nothing new") as caught:
        SegmentPlan.make(9, 24, overlap_frames=overlap, end_offset_frames=end_offset)
    assert caught.value.path == "sampling.num_frames"

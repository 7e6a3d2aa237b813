import itertools

import numpy as np
import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled, GenerationFailed, StateInvalid
from fastvideo.api.results import GenerationResult
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.worker import result_events, run_segment
from fastvideo.media.boxes import parse_boxes
from fastvideo.media.strip import read_strip
from fastvideo.media.timeline import MediaCursor


def kinds(events) -> list[str]:
    return [kind for kind, _ in itertools.groupby(type(event).__name__ for event in events)]


def test_a_segment_is_started_stepped_opened_sent_and_done_in_this_order(fakes) -> None:
    events = list(run_segment(fakes.StepGenerator(), fakes.job(), CancellationToken()))
    assert kinds(events) == ["SegmentStarted", "SegmentProgress", "SegmentInit", "SegmentFragment", "SegmentDone"]
    assert events[0] == SegmentStarted(total_steps=2)
    assert [event for event in events if isinstance(event, SegmentProgress)] == [
        SegmentProgress(1, 2),
        SegmentProgress(2, 2),
    ]
    done = events[-1]
    assert isinstance(done, SegmentDone)
    assert (done.frames, done.duration_ms, done.pts_base_ms) == (8, 1000.0, 0.0)
    assert done.state is not None
    assert done.timings_ms["denoise"] == 1.0
    assert 0 < done.timings_ms["encode"] <= done.generation_ms
    assert 0 < done.timings_ms["first_fragment"] <= done.generation_ms


def test_media_is_whole_boxes_with_both_tracks_and_numbers_that_rise(fakes) -> None:
    events = list(run_segment(fakes.StepGenerator(), fakes.job(), CancellationToken()))
    (opening,) = [event for event in events if isinstance(event, SegmentInit)]
    assert [box.kind for box in parse_boxes(opening.data)] == [b"ftyp", b"moov"]
    assert "avc1" in opening.mime
    assert "mp4a" in opening.mime
    fragments = [event for event in events if isinstance(event, SegmentFragment)]
    for fragment in fragments:
        assert [box.kind for box in parse_boxes(fragment.data)] == [b"moof", b"mdat"]
    assert [fragment.sequence for fragment in fragments] == list(range(1, len(fragments) + 1))
    assert fragments[0].data.count(b"traf") == 2


def test_the_next_segment_goes_on_where_this_one_ended(fakes) -> None:
    generator, cursor = fakes.StepGenerator(), MediaCursor.start()
    sequences, bases = [], []
    for index in range(3):
        for event in run_segment(generator, fakes.job(cursor=cursor, index=index), CancellationToken()):
            if isinstance(event, SegmentFragment):
                sequences.append(event.sequence)
            elif isinstance(event, SegmentDone):
                bases.append(event.pts_base_ms)
                cursor = event.cursor
    assert sequences == list(range(1, len(sequences) + 1))
    assert bases == [0.0, 1000.0, 2000.0]


def test_frames_leave_before_the_generator_has_made_them_all(fakes) -> None:
    generator = fakes.StepGenerator()
    for event in run_segment(generator, fakes.job(), CancellationToken()):
        if isinstance(event, SegmentFragment):
            break
    assert ("done", "a prompt") not in generator.trace


def test_a_generator_with_generate_alone_completes_one_step_before_its_media(fakes) -> None:
    generator = fakes.WholeGenerator()
    events = list(run_segment(generator, fakes.job(num_inference_steps=7), CancellationToken()))
    assert kinds(events) == ["SegmentStarted", "SegmentProgress", "SegmentInit", "SegmentFragment", "SegmentDone"]
    assert [event for event in events if isinstance(event, SegmentProgress)] == [SegmentProgress(7, 7)]
    done = events[-1]
    assert isinstance(done, SegmentDone)
    assert done.state is not None
    assert done.state.kind == "ltx2.v1"
    assert generator.requests[0].output.return_frames


def test_a_segment_without_sound_is_silent_and_not_without_a_track(fakes) -> None:
    events = list(run_segment(fakes.WholeGenerator(), fakes.job(), CancellationToken()))
    (opening,) = [event for event in events if isinstance(event, SegmentInit)]
    assert "mp4a" in opening.mime


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(24_000, np.float32),
        np.zeros((1, 24_000), np.float64),
        np.zeros((2, 24_000), np.int16),
    ],
    ids=["mono without an axis", "mono", "16-bit"],
)
def test_sound_is_taken_as_generators_give_it(fakes, audio) -> None:
    frames = np.zeros((8, 64, 64, 3), np.float32)
    generator = fakes.WholeGenerator(lambda _: {"frames": frames, "audio": audio, "audio_sample_rate": 24_000})
    assert isinstance(list(run_segment(generator, fakes.job(), CancellationToken()))[-1], SegmentDone)


@pytest.mark.parametrize("result", [{}, {"frames": []}, None, {"frames": None}, [{"frames": [1]}, {"frames": [1]}]])
def test_a_result_without_frames_is_a_failure_and_no_empty_segment(fakes, result) -> None:
    with pytest.raises(GenerationFailed, match="no frames"):
        list(run_segment(fakes.WholeGenerator(lambda _: result), fakes.job(), CancellationToken()))


@pytest.mark.parametrize(
    ("result", "peak_mb"),
    [
        ({"peak_memory_mb": 12.34}, 12.3),
        ({"extra": {"peak_memory_mb": 5}}, 5.0),
        ({}, None),
        ({"extra": {"peak_memory_mb": "much"}}, None),
        ({"peak_memory_mb": float("nan")}, None),
    ],
)
def test_a_segment_tells_the_memory_that_its_generator_reports_and_no_other(fakes, result, peak_mb) -> None:
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    generator = fakes.WholeGenerator(lambda _: GenerationResult(frames=frames, **result))
    *_, done = run_segment(generator, fakes.job(), fakes.token())
    assert isinstance(done, SegmentDone)
    assert done.peak_memory_mb == peak_mb


def test_a_batch_of_one_result_is_that_result() -> None:
    partial, final = result_events([{"frames": [1, 2], "extra": {"seconds": 3}}])
    assert partial.frames == [1, 2]
    assert final.metadata == {"seconds": 3}


def test_wrong_sizes_are_an_error_and_no_garbage(fakes) -> None:
    frames = np.zeros((8, 32, 64, 3), np.uint8)
    with pytest.raises(GenerationFailed):
        list(run_segment(fakes.WholeGenerator(lambda _: {"frames": frames}), fakes.job(), CancellationToken()))


def test_sound_without_its_rate_is_an_error(fakes) -> None:
    result = {"frames": np.zeros((8, 64, 64, 3), np.uint8), "audio": np.zeros((2, 100), np.float32)}
    with pytest.raises(GenerationFailed, match="sample rate"):
        list(run_segment(fakes.WholeGenerator(lambda _: result), fakes.job(), CancellationToken()))


def test_what_the_generator_raises_is_told_apart_by_whether_it_was_on_purpose(fakes) -> None:
    generator = fakes.StepGenerator()
    generator.failures["a prompt"] = lambda: ZeroDivisionError("secret path")
    with pytest.raises(GenerationFailed) as caught:
        list(run_segment(generator, fakes.job(), CancellationToken()))
    assert "secret" not in str(caught.value)
    generator.failures["a prompt"] = lambda: StateInvalid("of another size")
    with pytest.raises(StateInvalid):
        list(run_segment(generator, fakes.job(), CancellationToken()))


def test_a_cancelled_segment_stops_at_the_next_step_and_leaves_no_trace_on_the_timeline(fakes) -> None:
    generator, cancel, events = fakes.StepGenerator(), CancellationToken(), []
    with pytest.raises(GenerationCancelled):
        for event in run_segment(generator, fakes.job(num_inference_steps=5), cancel):
            events.append(event)
            if event == SegmentProgress(2, 5):
                cancel.cancel()
    assert generator.trace == [("step", "a prompt")] * 2 + [("cancelled", "a prompt")]
    assert not any(isinstance(event, SegmentCut | SegmentInit) for event in events)


@pytest.mark.parametrize("by", ["cancel", "failure"])
def test_a_segment_that_ends_after_some_media_says_where_the_next_one_goes_on(fakes, by) -> None:
    generator, cancel, events = fakes.StepGenerator(), CancellationToken(), []
    if by == "failure":
        generator.failures["a prompt"] = lambda: MemoryError()
        generator.fail_after_frames = 6
    with pytest.raises(GenerationCancelled if by == "cancel" else GenerationFailed):
        for event in run_segment(generator, fakes.job(), cancel):
            events.append(event)
            if by == "cancel" and isinstance(event, SegmentFragment):
                cancel.cancel()
    cut = events[-1]
    assert isinstance(cut, SegmentCut)
    last = [event for event in events if isinstance(event, SegmentFragment)][-1]
    assert cut.cursor.sequence == last.sequence + 1
    assert float(cut.cursor.end_s) * 1000 == pytest.approx(last.pts_ms + last.duration_ms)
    follow = list(run_segment(fakes.StepGenerator(), fakes.job(cursor=cut.cursor), CancellationToken()))
    first = next(event for event in follow if isinstance(event, SegmentFragment))
    assert first.sequence == last.sequence + 1
    assert first.pts_ms == pytest.approx(last.pts_ms + last.duration_ms)


def test_a_coder_that_dies_in_mid_segment_breaks_the_timeline(fakes, monkeypatch) -> None:
    from fastvideo.api.errors import EncodeError
    from fastvideo.media.video_coder import VideoCoder

    code, calls = VideoCoder.code, itertools.count()

    def dying(self, picture):
        if next(calls) == 4:
            raise EncodeError("the encoder died")
        return code(self, picture)

    monkeypatch.setattr(VideoCoder, "code", dying)
    with pytest.raises(TimelineBroken):
        list(run_segment(fakes.StepGenerator(), fakes.job(), CancellationToken()))


def test_leaving_a_segment_closes_the_generator(fakes) -> None:
    generator = fakes.StepGenerator()
    events = run_segment(generator, fakes.job(), CancellationToken())
    next(events)
    events.close()
    assert generator.trace == [("cancelled", "a prompt")]


def test_a_segment_that_is_cancelled_between_two_events_closes_the_generator_at_once(fakes) -> None:
    inner, cancel, closed = fakes.StepGenerator(), CancellationToken(), []

    class Deaf:
        """Looks at no token, so that the segment ends between two of its events."""

        def stream(self, request, *, cancel):
            try:
                yield from inner.stream(request, cancel=CancellationToken())
            finally:
                closed.append(True)

        def generate(self, request):
            raise AssertionError("it streams")

    with pytest.raises(GenerationCancelled) as held:
        for event in run_segment(Deaf(), fakes.job(), cancel):
            if isinstance(event, SegmentFragment):
                cancel.cancel()
    # The error keeps every frame that it came through, so nothing is closed for want of references.
    assert closed, held.traceback


def test_the_time_code_can_be_read_back_and_leaves_the_generators_frames_alone(fakes, monkeypatch) -> None:
    from dataclasses import replace

    from fastvideo.media.encoder import SegmentEncoder

    pushed = []
    push = SegmentEncoder.push_video
    monkeypatch.setattr(SegmentEncoder, "push_video", lambda self, frames: pushed.extend(frames) or push(self, frames))
    frames = np.zeros((5, 256, 256, 3), np.float32)
    job = replace(fakes.job(index=3, width=256, height=256), burn_in_timecode=True)
    list(run_segment(fakes.WholeGenerator(lambda _: {"frames": frames}), job, CancellationToken()))
    assert [read_strip((frame * 255).astype(np.uint8)) for frame in pushed] == [(3, index) for index in range(5)]
    assert not frames.any()

import contextlib
import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastvideo.api.errors import ConfigValidationError, LimitExceeded, StateInvalid
from fastvideo.api.request_metadata import get_explicit_paths
from fastvideo.api.results import GenerationResult
from fastvideo.api.schema import (
    ContinuationState,
    EngineConfig,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    InputConfig,
    OutputConfig,
    RequestLimits,
    SamplingConfig,
)
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentCut,
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentProgress,
    SegmentStarted,
)
from fastvideo.entrypoints.streaming.worker_buffers import WireError
from fastvideo.entrypoints.streaming.worker_faults import fault_of
from fastvideo.entrypoints.streaming.worker_headers import MAX_BODY_BYTES, MAX_HEADER_BYTES
from fastvideo.entrypoints.streaming.worker_messages import (
    Boot,
    BootFailed,
    Cancel,
    Consumed,
    EncodeAhead,
    Heartbeat,
    JobEnded,
    JobEvent,
    JobTaken,
    Ready,
    ResultDone,
    ResultFrames,
    RingFrames,
    RingFreed,
    RunRequest,
    RunSegment,
    Unusable,
    WarmedUp,
)
from fastvideo.entrypoints.streaming.worker_wire import MAGIC, MessageReader, encode, send_buffers
from fastvideo.media.timeline import MediaCursor

numbers = st.integers(0, 2**31 - 1)
ids = st.integers(0, 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
mappings = st.dictionaries(texts, values, max_size=4)
states = st.none() | st.builds(ContinuationState, kind=texts, payload=mappings)
# A cursor that stands somewhere must be true to its grid, so the tail varies and the place does not.
cursors = st.builds(
    MediaCursor,
    sequence=st.integers(1, 2**32 - 1),
    tail=st.integers(0, 64).map(lambda n: bytes(range(4)) * n),
    parameter_hash=texts,
)
samplings = st.builds(SamplingConfig, seed=ids, width=numbers, sigmas=st.none() | st.lists(floats, max_size=3))
requests = st.builds(
    GenerationRequest,
    prompt=texts | st.lists(texts, max_size=2),
    negative_prompt=st.none() | texts,
    inputs=st.builds(InputConfig, image_path=st.none() | texts),
    sampling=samplings | st.just(SamplingConfig()),
    output=st.builds(OutputConfig, return_state=st.booleans()),
    stage_overrides=mappings,
    state=states,
) | st.just(GenerationRequest())
jobs = st.builds(SegmentJob, requests, cursors, numbers, texts, st.booleans())
events = st.one_of(
    st.builds(SegmentStarted, numbers, floats),
    st.builds(SegmentProgress, numbers, numbers, texts),
    st.builds(SegmentInit, texts, st.binary(max_size=200)),
    st.builds(SegmentFragment, st.binary(max_size=200), numbers, floats, floats),
    st.builds(SegmentCut, cursors),
    st.builds(
        SegmentDone, cursors, states, numbers, floats, floats, floats, st.dictionaries(texts, floats, max_size=4)
    ),
)
faults = st.sampled_from([StateInvalid("no"), LimitExceeded("a.b", "too much"), RuntimeError]).map(
    lambda error: fault_of(error if isinstance(error, Exception) else ConfigValidationError("", "bad"))
)
messages = st.one_of(
    st.builds(
        Boot,
        st.builds(GeneratorConfig, model_path=texts, engine=st.builds(EngineConfig, num_gpus=numbers)),
        st.builds(GpuPoolConfig, num_workers=st.none() | numbers),
        st.builds(RequestLimits, max_num_frames=numbers),
        st.none() | jobs,
        floats,
    ),
    st.builds(RunSegment, ids, jobs),
    st.builds(RunRequest, ids, requests),
    st.builds(Cancel, ids),
    st.builds(EncodeAhead, ids, requests),
    st.builds(Consumed, ids, ids),
    st.builds(RingFreed, numbers),
    st.builds(RingFrames, ids, numbers, st.tuples(numbers, numbers, numbers, numbers), numbers, numbers),
    st.just(Heartbeat()),
    st.builds(WarmedUp, floats),
    st.builds(Ready, st.none() | texts),
    st.builds(BootFailed, faults),
    st.builds(JobTaken, ids),
    st.builds(Unusable, texts),
    st.builds(JobEvent, ids, events),
    st.builds(JobEnded, ids, st.none() | floats, st.none() | faults),
)


def wire(message) -> bytes:
    return b"".join(bytes(buffer) for buffer in encode(message))


def read(data: bytes) -> list:
    return list(MessageReader().feed(data))


def requests_of(message) -> list[GenerationRequest]:
    job = message if hasattr(message, "request") else getattr(message, "job", None) or getattr(message, "warmup", None)
    return [] if job is None else [job.request]


@settings(max_examples=300)
@given(messages)
def test_every_message_comes_back_as_it_was_sent(message) -> None:
    (received,) = read(wire(message))
    assert received == message
    for sent, got in zip(requests_of(message), requests_of(received), strict=True):
        assert get_explicit_paths(got) == get_explicit_paths(sent)


@settings(max_examples=60)
@given(st.lists(messages, max_size=4), st.data())
def test_messages_come_out_whole_however_they_were_cut(sent, data) -> None:
    stream = b"".join(map(wire, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, received = MessageReader(), []
    for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.feed(stream[first:last])
    assert received == sent
    assert not reader.in_message


@pytest.mark.parametrize("piece_bytes", [100_000, 1 << 18, 1 << 23])
def test_large_messages_come_out_whole_between_small_ones(piece_bytes) -> None:
    state = ContinuationState("ltx2.v1", {"frames_b64": ["text" * 400_000, "more" * 500_000]})
    done = JobEvent(1, SegmentDone(MediaCursor(tail=bytes(8)), state, 1, 1.0, 0.0, 1.0, peak_memory_mb=7.5))
    fragment = JobEvent(1, SegmentFragment(bytes(range(256)) * 6000, 1, 0.0, 1.0))
    frames = ResultFrames(2, np.full((1, 1000, 700, 3), 7, np.uint8))
    ended = JobEnded(1, 1.0)
    sent = [Heartbeat(), done, ended, fragment, frames, Heartbeat(), done, done, ended]
    stream = b"".join(map(wire, sent))
    reader, received = MessageReader(), []
    for first in range(0, len(stream), piece_bytes):
        received += reader.feed(stream[first : first + piece_bytes])
    assert not reader.in_message
    crossed = received.pop(4)
    assert received == [message for message in sent if message is not frames]
    np.testing.assert_array_equal(crossed.frames, frames.frames)
    assert not crossed.frames.flags.writeable
    # What is kept and given on is bytes, and does not hold a larger message.
    assert type(received[3].event.data) is bytes


class NarrowSocket:
    """Takes at most so many bytes at a time."""

    def __init__(self, most_bytes: list[int]) -> None:
        self._most_bytes = itertools.cycle(most_bytes)
        self.taken = bytearray()

    def sendmsg(self, buffers) -> int:
        taken = b"".join(buffers)[: next(self._most_bytes)]
        self.taken += taken
        return len(taken)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=9), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_buffers_are_sent_whole_and_in_order_however_little_the_socket_takes(buffers, most_bytes) -> None:
    connection = NarrowSocket(most_bytes)
    send_buffers(connection, buffers)
    assert connection.taken == b"".join(buffers)


@settings(max_examples=300)
@given(messages, st.data())
def test_damaged_bytes_are_a_message_or_a_wire_error_and_nothing_else(message, data) -> None:
    damaged = bytearray(wire(message))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        read(bytes(damaged))


@settings(max_examples=300)
@given(st.binary(max_size=100), st.binary(max_size=40))
@example(b"", b"")
@example(b"\x92\x81\xa4type\xa9heartbeat\x90", b"extra")
def test_any_header_and_body_are_a_message_or_a_wire_error(header, body) -> None:
    prefix = MAGIC + len(header).to_bytes(4, "little") + len(body).to_bytes(8, "little")
    with contextlib.suppress(WireError):
        read(prefix + header + body)


@pytest.mark.parametrize(
    "prefix",
    [
        b"HTTP" + bytes(12),
        MAGIC + (MAX_HEADER_BYTES + 1).to_bytes(4, "little") + bytes(8),
        MAGIC + bytes(4) + (MAX_BODY_BYTES + 1).to_bytes(8, "little"),
    ],
)
def test_a_prefix_that_is_wrong_is_refused_before_anything_is_kept_for_it(prefix) -> None:
    with pytest.raises(WireError):
        read(prefix)


def test_frames_and_sound_cross_as_they_are() -> None:
    frames = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)[:, ::-1]
    (received,) = read(wire(ResultFrames(7, frames)))
    assert received.job_id == 7
    np.testing.assert_array_equal(received.frames, frames)

    sound = np.linspace(-1, 1, 20, dtype=np.float32).reshape(2, 10)
    state = ContinuationState("ltx2.v1", {"a": [1, 2.5, None]})
    result = GenerationResult(
        prompt="p", audio=sound, audio_sample_rate=24_000, size=(4, 6, 2), state=state, extra={"seconds": np.float32(2)}
    )
    (received,) = read(wire(ResultDone(7, result)))
    np.testing.assert_array_equal(received.result.audio, sound)
    assert received.result.extra == {"seconds": 2.0}
    rest = [f.name for f in fields(GenerationResult) if f.name not in ("audio", "extra")]
    assert [getattr(received.result, name) for name in rest] == [getattr(result, name) for name in rest]


def test_what_json_cannot_say_is_the_requests_fault() -> None:
    job = SegmentJob(GenerationRequest(prompt="p"), MediaCursor.start())
    picture = replace(job, request=GenerationRequest(prompt="p", inputs=InputConfig(pil_image=object())))
    with pytest.raises(ConfigValidationError):
        encode(RunSegment(1, picture))
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    for payload in ({"n": 2**70}, {"n": object()}, {"n": nested}):
        unsayable = replace(job, request=GenerationRequest(prompt="p", state=ContinuationState("ltx2.v1", payload)))
        with pytest.raises(StateInvalid):
            encode(RunSegment(1, unsayable))
    for state in (ContinuationState("k" * 300, {}), ContinuationState("ltx2.v1", {1: 2})):
        with pytest.raises(StateInvalid):
            encode(RunRequest(1, GenerationRequest(prompt="p", state=state)))
    with pytest.raises(ConfigValidationError, match="guidance_scale"):
        encode(RunRequest(1, GenerationRequest(prompt="p", sampling=SamplingConfig(guidance_scale=math.nan))))


def test_a_message_beyond_the_bounds_is_not_sent() -> None:
    with pytest.raises(WireError):
        encode(JobEvent(1, SegmentInit("x" * (MAX_HEADER_BYTES + 1), b"")))


def test_a_timing_that_is_not_a_number_is_still_one_on_the_other_side() -> None:
    (received,) = read(wire(WarmedUp(math.inf)))
    assert received == WarmedUp(math.inf)

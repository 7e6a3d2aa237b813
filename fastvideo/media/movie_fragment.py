"""Movie fragments: ``moof`` + ``mdat`` pairs with at most one run of samples per track (ISO/IEC 14496-12, 8.8)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from fastvideo.media.boxes import (
    FULL_HEADER_BYTES,
    HEADER_BYTES,
    Box,
    BoxError,
    Buffer,
    box,
    box_header,
    full_box,
    name,
    parse_boxes,
)

KEYFRAME_FLAGS = 0x0200_0000  # depends on no other sample
DELTA_FLAGS = 0x0101_0000  # depends on others, not a sync sample
_NOT_SYNC = 0x0001_0000

# Which optional fields a 'tfhd' and a 'trun' have.
_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE, _DEFAULT_FLAGS = 0x01, 0x02, 0x08, 0x10, 0x20
_BASE_IS_MOOF = 0x020000
_DATA_OFFSET, _FIRST_FLAGS, _DURATIONS, _SIZES, _FLAGS, _COMPOSITION = 0x001, 0x004, 0x100, 0x200, 0x400, 0x800

# Of one track in one fragment, which covers a quarter of a second.
MAX_SAMPLES = 4096


@dataclass(frozen=True)
class Sample:
    """One coded picture or AAC frame: the parts of its bytes, its duration in ticks, and its flags."""

    parts: Sequence[Buffer]
    duration: int
    flags: int = KEYFRAME_FLAGS

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(part) for part in self.parts)


@dataclass(frozen=True)
class TrackRun:
    """Consecutive samples of one track, the first of which decodes at ``decode_time`` ticks."""

    track_id: int
    decode_time: int
    samples: Sequence[Sample]


@dataclass(frozen=True)
class ReadSample:
    """A sample as read back: its bytes and when it decodes, in ticks of its track."""

    data: memoryview
    decode_time: int
    duration: int
    flags: int

    @property
    def keyframe(self) -> bool:
        """Whether decoding can start here."""
        return not self.flags & _NOT_SYNC


@dataclass(frozen=True)
class ReadFragment:
    """One ``moof`` + ``mdat`` pair as read back: its sequence number and each track's samples."""

    sequence: int
    tracks: dict[int, list[ReadSample]]


@dataclass(frozen=True)
class TrackSpan:
    """Where a fragment's samples of one track lie in time, in ticks. ``keyframe``: decoding can start there."""

    track_id: int
    decode_time: int
    duration: int
    keyframe: bool


def write_fragment(sequence: int, runs: Sequence[TrackRun]) -> bytes:
    """Write one ``moof`` + ``mdat`` pair; the data of the runs follow one another in the order given."""
    runs = [run for run in runs if run.samples]
    if not runs:
        raise ValueError("a fragment needs at least one sample")
    # The offsets have a fixed width, so the size of the moof does not depend on their values.
    moof_bytes = len(_movie_fragment(sequence, runs, [0] * len(runs)))
    offsets, at = [], moof_bytes + HEADER_BYTES
    for run in runs:
        offsets.append(at)
        at += sum(sample.size for sample in run.samples)
    parts: list[Buffer] = [
        _movie_fragment(sequence, runs, offsets),
        box_header(b"mdat", at - moof_bytes - HEADER_BYTES),
    ]
    for run in runs:
        for sample in run.samples:
            parts.extend(sample.parts)
    return b"".join(parts)


def _movie_fragment(sequence: int, runs: Sequence[TrackRun], offsets: Sequence[int]) -> bytes:
    tracks = [_track_fragment(run, offset) for run, offset in zip(runs, offsets, strict=True)]
    return box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", sequence)), *tracks)


def _track_fragment(run: TrackRun, data_offset: int) -> bytes:
    samples = run.samples
    # The default flags are the last sample's, so that a keyframe in front costs one field and not one per sample.
    duration, flags = samples[0].duration, samples[-1].flags
    header = full_box(
        b"tfhd",
        0,
        _BASE_IS_MOOF | _DEFAULT_DURATION | _DEFAULT_FLAGS,
        struct.pack(">3I", run.track_id, duration, flags),
    )
    layout = _DATA_OFFSET | _SIZES
    if any(sample.flags != flags for sample in samples[1:]):
        layout |= _FLAGS
    elif samples[0].flags != flags:
        layout |= _FIRST_FLAGS
    if any(sample.duration != duration for sample in samples):
        layout |= _DURATIONS
    fields = [len(samples), data_offset]
    if layout & _FIRST_FLAGS:
        fields.append(samples[0].flags)
    for sample in samples:
        if layout & _DURATIONS:
            fields.append(sample.duration)
        fields.append(sample.size)
        if layout & _FLAGS:
            fields.append(sample.flags)
    return box(
        b"traf",
        header,
        full_box(b"tfdt", 1, 0, struct.pack(">Q", run.decode_time)),
        full_box(b"trun", 0, layout, struct.pack(f">{len(fields)}I", *fields)),
    )


def read_fragments(data: Buffer) -> list[ReadFragment]:
    """Read one or more whole ``moof`` + ``mdat`` pairs and nothing else; raises BoxError."""
    boxes = parse_boxes(data)
    if not boxes or len(boxes) % 2:
        raise BoxError(f"media is one or more pairs of 'moof' and 'mdat', got {len(boxes)} boxes")
    fragments = []
    for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True):
        if (moof.kind, mdat.kind) != (b"moof", b"mdat"):
            raise BoxError(f"expected 'moof' and 'mdat', got {name(moof.kind)} and {name(mdat.kind)}")
        tracks: dict[int, list[ReadSample]] = {}
        for traf in (found for found in moof.children() if found.kind == b"traf"):
            track_id, samples = _read_track(traf, moof, mdat)
            if track_id in tracks:
                raise BoxError(f"fragment: two 'traf' boxes for track {track_id}")
            tracks[track_id] = samples
        (sequence,) = moof.child(b"mfhd").fields("I", FULL_HEADER_BYTES)
        fragments.append(ReadFragment(sequence, tracks))
    return fragments


def last_sequence(data: Buffer) -> int | None:
    """The number of the last fragment among whole boxes, None without one; raises BoxError."""
    moofs = [found for found in parse_boxes(data) if found.kind == b"moof"]
    return moofs[-1].child(b"mfhd").fields("I", FULL_HEADER_BYTES)[0] if moofs else None


def read_spans(moof: Box) -> tuple[int, list[TrackSpan]]:
    """The fragment's number, and each track's place in time, from its ``moof`` alone; raises BoxError."""
    spans = []
    for traf in (found for found in moof.children() if found.kind == b"traf"):
        run = _read_run(traf)
        if run.samples:
            duration = sum(duration for _, duration, _ in run.samples)
            spans.append(TrackSpan(run.track_id, run.decode_time, duration, not run.samples[0][2] & _NOT_SYNC))
    (sequence,) = moof.child(b"mfhd").fields("I", FULL_HEADER_BYTES)
    return sequence, spans


@dataclass(frozen=True)
class _Run:
    """``samples``: size, duration and flags of each; ``data_offset`` counts from the ``moof``."""

    track_id: int
    decode_time: int
    data_offset: int
    samples: list[tuple[int, int, int]]


def _read_run(traf: Box) -> _Run:
    header = traf.child(b"tfhd")
    _, flags = header.version_and_flags()
    if not flags & _BASE_IS_MOOF or flags & _BASE_OFFSET:
        raise BoxError("box 'tfhd': only offsets from the 'moof' are supported")
    (track_id,) = header.fields("I", FULL_HEADER_BYTES)
    defaults, at = {}, FULL_HEADER_BYTES + 4
    for field in (_DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE, _DEFAULT_FLAGS):
        if flags & field:
            (defaults[field],) = header.fields("I", at)
            at += 4
    version, _ = traf.child(b"tfdt").version_and_flags()
    (time,) = traf.child(b"tfdt").fields("Q" if version == 1 else "I", FULL_HEADER_BYTES)

    run = traf.child(b"trun")
    _, flags = run.version_and_flags()
    (count,) = run.fields("I", FULL_HEADER_BYTES)
    if not flags & _DATA_OFFSET:
        raise BoxError("box 'trun': no data offset")
    (data_offset,) = run.fields("i", FULL_HEADER_BYTES + 4)
    at = FULL_HEADER_BYTES + 8
    first_flags = None
    if flags & _FIRST_FLAGS:
        (first_flags,) = run.fields("I", at)
        at += 4
    columns = [field for field in (_DURATIONS, _SIZES, _FLAGS, _COMPOSITION) if flags & field]
    if not columns and not defaults.get(_DEFAULT_SIZE):
        raise BoxError(f"box 'trun': {count} samples without sizes")
    # With defaults for everything, a run of any length takes no bytes.
    if count > MAX_SAMPLES:
        raise BoxError(f"box 'trun': {count} samples, expected at most {MAX_SAMPLES}")
    if len(run.payload) != at + 4 * len(columns) * count:
        raise BoxError(
            f"box 'trun': {len(run.payload)} payload bytes do not hold {count} samples of {len(columns)} fields"
        )
    samples = []
    for index in range(count):
        row = dict(zip(columns, run.fields(f"{len(columns)}I", at + 4 * len(columns) * index), strict=True))
        size = row.get(_SIZES, defaults.get(_DEFAULT_SIZE))
        duration = row.get(_DURATIONS, defaults.get(_DEFAULT_DURATION))
        sample_flags = row.get(_FLAGS, defaults.get(_DEFAULT_FLAGS))
        if index == 0 and first_flags is not None:
            sample_flags = first_flags
        if size is None or duration is None or sample_flags is None:
            raise BoxError("box 'trun': a sample has no size, duration or flags, and 'tfhd' has no default")
        samples.append((size, duration, sample_flags))
    return _Run(track_id, time, data_offset, samples)


def _read_track(traf: Box, moof: Box, mdat: Box) -> tuple[int, list[ReadSample]]:
    run = _read_run(traf)
    start, time = moof.offset + run.data_offset, run.decode_time
    payload_start = mdat.end - len(mdat.payload)
    samples = []
    for index, (size, duration, flags) in enumerate(run.samples):
        if start < payload_start or start + size > mdat.end:
            raise BoxError(f"box 'trun': sample {index} of track {run.track_id} lies outside its 'mdat'")
        data = mdat.payload[start - payload_start : start - payload_start + size]
        samples.append(ReadSample(data, time, duration, flags))
        start, time = start + size, time + duration
    return run.track_id, samples

"""What of a stream goes into a file that begins in the middle of it."""

from __future__ import annotations

import struct
from dataclasses import replace

from fastvideo.client.errors import ProtocolViolation
from fastvideo.client.stream_protocol import Event, InitSegment, Media, MediaFragment
from fastvideo.media.boxes import FULL_HEADER_BYTES, Box, BoxError, parse_boxes
from fastvideo.media.init_segment import TrackInfo, read_init_segment
from fastvideo.media.movie_fragment import TrackSpan, read_spans


class Clip:
    """Lets media pass from the next keyframe on, with times that begin at zero.

    Where a segment begins, a little sound of the one before comes with it; the file begins with that.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, TrackInfo] = {}
        self._shift_s: float | None = None
        self._picture_s = 0.0

    @property
    def picture_s(self) -> float:
        """How much of the picture has passed."""
        return self._picture_s

    def add(self, event: Event) -> Media | None:
        """What of an event goes into the file; raises ProtocolViolation for media that cannot be read."""
        try:
            if isinstance(event, InitSegment):
                self._tracks = {track.track_id: track for track in read_init_segment(event.data)}
                return event
            return self._add(event) if isinstance(event, MediaFragment) else None
        except BoxError as error:
            raise ProtocolViolation(f"expected media that can be read: {error}") from error

    def _add(self, fragment: MediaFragment) -> Media | None:
        moofs = [found for found in parse_boxes(fragment.data) if found.kind == b"moof"]
        spans = [span for moof in moofs for span in read_spans(moof)[1]]
        pictures = [span for span in spans if self._track(span.track_id).width_px]
        if self._shift_s is None:
            if not pictures or not pictures[0].keyframe:
                return None
            self._shift_s = min(span.decode_time / self._track(span.track_id).timescale for span in spans)
        self._picture_s += sum(self._seconds(span) for span in pictures)
        return replace(fragment, data=self._shifted(fragment.data, moofs)) if self._shift_s else fragment

    def _shifted(self, data: bytes, moofs: list[Box]) -> bytes:
        assert self._shift_s is not None
        shifted = bytearray(data)
        for traf in (found for moof in moofs for found in moof.children() if found.kind == b"traf"):
            (track_id,) = traf.child(b"tfhd").fields("I", FULL_HEADER_BYTES)
            time = traf.child(b"tfdt")
            layout = "Q" if time.version_and_flags()[0] == 1 else "I"
            (ticks,) = time.fields(layout, FULL_HEADER_BYTES)
            ticks -= round(self._shift_s * self._track(track_id).timescale)
            at = time.end - len(time.payload) + FULL_HEADER_BYTES
            struct.pack_into(f">{layout}", shifted, at, max(0, ticks))
        return bytes(shifted)

    def _seconds(self, span: TrackSpan) -> float:
        return span.duration / self._track(span.track_id).timescale

    def _track(self, track_id: int) -> TrackInfo:
        track = self._tracks.get(track_id)
        if track is None:
            raise BoxError(f"a fragment of track {track_id}, which no init segment has")
        return track

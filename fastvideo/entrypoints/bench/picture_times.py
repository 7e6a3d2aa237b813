"""Where on the timeline the picture of a fragment lies, read from its boxes."""

from __future__ import annotations

from fastvideo.media.boxes import BoxError, parse_boxes
from fastvideo.media.init_segment import read_init_segment
from fastvideo.media.movie_fragment import read_spans


class PictureTimes:
    """Follows one stream: init segments tell the timescale, fragments their place."""

    def __init__(self) -> None:
        self._track_id = 0
        self._timescale = 0

    def begin(self, init: bytes) -> None:
        """Take an init segment; raises BoxError for one without a picture."""
        for track in read_init_segment(init):
            if track.width_px:
                self._track_id, self._timescale = track.track_id, track.timescale
                return
        raise BoxError("box 'moov': no track with a picture")

    def span_s(self, fragments: bytes) -> tuple[float, float] | None:
        """Start and end, in seconds, of the picture in whole fragments; None where there is only sound.

        Raises BoxError.
        """
        if not self._timescale:
            raise BoxError("expected an init segment before the first fragment")
        starts, ends = [], []
        for moof in (found for found in parse_boxes(fragments) if found.kind == b"moof"):
            for span in read_spans(moof)[1]:
                if span.track_id == self._track_id:
                    starts.append(span.decode_time)
                    ends.append(span.decode_time + span.duration)
        return (min(starts) / self._timescale, max(ends) / self._timescale) if starts else None

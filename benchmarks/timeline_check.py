"""Follows one session's media as a player would: is the timeline whole, and is there always something to play?"""

from __future__ import annotations

from dataclasses import dataclass, field

from fastvideo.media.init_segment import read_init_segment
from fastvideo.media.movie_fragment import read_fragments


@dataclass
class _Track:
    kind: str
    timescale: int
    edit_ticks: int
    start_ticks: int | None = None
    end_ticks: int = 0

    @property
    def length_s(self) -> float:
        """Seconds of media so far."""
        return (self.end_ticks - (self.start_ticks or 0)) / self.timescale

    @property
    def end_s(self) -> float:
        """Where the track ends on the timeline."""
        return (self.end_ticks - self.edit_ticks) / self.timescale


@dataclass
class TimelineCheck:
    """Give it every init segment and fragment, with the time of arrival in seconds.

    ``faults``: sentences about gaps, overlaps, sequence numbers that do not rise by one, and inits that changed. The
    player starts once it has ``start_buffer_s`` and waits when it has played everything: ``stalls``, ``stalled_s``.
    ``skews_s``: by how much sound ended before the picture, after each fragment with both.
    """

    start_buffer_s: float = 0.5

    faults: list[str] = field(default_factory=list)
    stalls: int = 0
    stalled_s: float = 0.0
    least_lead_s: float = float("inf")
    skews_s: list[float] = field(default_factory=list)
    fragments: int = 0
    _init: bytes = b""
    _tracks: dict[int, _Track] = field(default_factory=dict)
    _sequence: int | None = None
    _playing_since_s: float | None = None

    @property
    def media_s(self) -> float:
        """Seconds of picture so far."""
        return max((track.length_s for track in self._tracks.values() if track.kind == "video"), default=0.0)

    def add_init(self, data: bytes) -> None:
        """An init segment; all of a session are the same."""
        if self._init and data != self._init:
            self.faults.append(f"the init segment changed after {self.media_s:.3f} s")
        if not self._init:
            self._init = data
            for info in read_init_segment(data):
                kind = "audio" if info.sample_rate_hz else "video"
                self._tracks[info.track_id] = _Track(kind, info.timescale, info.edit_media_time)

    def add_fragment(self, data: bytes, arrived_s: float) -> None:
        """A binary message with one or more fragments."""
        lead_before_s = self.media_s
        for fragment in read_fragments(data):
            if self._sequence is not None and fragment.sequence != self._sequence + 1:
                self.faults.append(f"fragment {fragment.sequence} follows fragment {self._sequence}")
            self._sequence = fragment.sequence
            self.fragments += 1
            for track_id, samples in fragment.tracks.items():
                track = self._tracks[track_id]
                if track.start_ticks is None:
                    track.start_ticks = track.end_ticks = samples[0].decode_time
                for sample in samples:
                    if sample.decode_time != track.end_ticks:
                        self.faults.append(
                            f"{track.kind} at tick {sample.decode_time} follows an end at {track.end_ticks}"
                        )
                    track.end_ticks = sample.decode_time + sample.duration
            if len(fragment.tracks) == len(self._tracks) == 2:
                ends_s = {track.kind: track.end_s for track in self._tracks.values()}
                self.skews_s.append(ends_s["video"] - ends_s["audio"])
        self._play(lead_before_s, arrived_s)

    def _play(self, had_s: float, now_s: float) -> None:
        if self._playing_since_s is None:
            if self.media_s >= self.start_buffer_s:
                self._playing_since_s = now_s
            return
        lead_s = had_s - (now_s - self._playing_since_s)
        self.least_lead_s = min(self.least_lead_s, lead_s)
        if lead_s < 0:
            self.stalls += 1
            self.stalled_s -= lead_s
            # Playing goes on from here.
            self._playing_since_s -= lead_s

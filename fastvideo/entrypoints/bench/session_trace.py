"""What a live session was like for its viewer, told by its events and when they came. No socket and no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastvideo.client import Event, InitSegment, MediaFragment
from fastvideo.entrypoints.bench.picture_times import PictureTimes
from fastvideo.entrypoints.bench.virtual_player import BUFFER_S, Stall, VirtualPlayer
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    GenerationBlocked,
    Ltx2SegmentComplete,
    Ltx2StreamComplete,
    Ltx2StreamStart,
    PromptStatus,
    SegmentCancelled,
)


@dataclass
class Steering:
    """A prompt on its way: when it was sent, taken, its first fragment came, and that was on the screen.

    A time is None for what has not happened. ``rejected``: why the server did not take it.
    """

    sent_s: float
    applied_s: float | None = None
    media_s: float | None = None
    shown_s: float | None = None
    rejected: str | None = None
    position_s: float | None = field(default=None, repr=False)


def named(error: ErrorMessage) -> str:
    """What an error is counted as."""
    return f"{error.code}: {error.reason}" if error.reason else error.code


class SessionTrace:
    """Follows a session. ``asked_s``: when its connection was begun. Times of calls never go back."""

    def __init__(self, asked_s: float, buffer_s: float = BUFFER_S) -> None:
        self.asked_s = asked_s
        self.active_s: float | None = None
        self.first_media_s: float | None = None
        self.left_s = asked_s
        self.fragment_gaps_s: list[float] = []
        self.join_gaps_s: list[float] = []
        self.late_s: list[float] = []
        # When, and what the player had in hand then: before and after each fragment, and when it ran dry.
        self.ahead: list[tuple[float, float]] = []
        self.errors: list[str] = []
        self.segments = 0
        self.media_bytes = 0
        self.player = VirtualPlayer(buffer_s)
        self._pictures = PictureTimes()
        self._steering: dict[str, Steering] = {}
        self._applied: list[Steering] = []
        self._over = False
        self._last_media: tuple[int, float] | None = None
        self._media_end_s = self._media_start_s = 0.0

    @property
    def steering(self) -> list[Steering]:
        """Every prompt that was sent, in order."""
        return list(self._steering.values())

    @property
    def stalls(self) -> list[Stall]:
        """Every time that the picture stood."""
        return self.player.stalls

    @property
    def media_s(self) -> float:
        """Seconds of picture that arrived."""
        return self._media_end_s - self._media_start_s

    def steered(self, request_id: str, now_s: float) -> None:
        """A prompt with this id is being sent."""
        self._steering[request_id] = Steering(now_s)

    def heard(self, event: Event, now_s: float) -> None:
        """The next event of the session came; raises BoxError for media that cannot be read."""
        match event:
            case MediaFragment():
                self._fragment(event, now_s)
            case InitSegment():
                self._pictures.begin(event.data)
                self.media_bytes += len(event.data)
            case Ltx2StreamStart():
                self.active_s = now_s
            case PromptStatus(request_id=about) if about in self._steering:
                steering = self._steering[about]
                if event.status == "applied":
                    steering.applied_s = now_s
                    self._applied.append(steering)
                elif event.status == "rejected":
                    steering.rejected = event.reason or "no reason given"
            case Ltx2SegmentComplete():
                self.segments += 1
                self._applied.clear()
            case SegmentCancelled():
                self._applied.clear()
            case ErrorMessage():
                self.errors.append(named(event))
                self._applied.clear()
            case GenerationBlocked(reason="worker_failed"):
                pass
            case Ltx2StreamComplete() | GenerationBlocked():
                # By the session's own rules: a picture that rests now is nobody's fault.
                self.player.ended(now_s)

    def left(self, now_s: float) -> None:
        """The viewer leaves, or is left; only the first call counts."""
        if self._over:
            return
        self._over = True
        self.player.finish(now_s)
        self.left_s = now_s
        for steering in self._steering.values():
            if steering.position_s is not None:
                steering.shown_s = self.player.shown_at_s(steering.position_s)

    def _fragment(self, event: MediaFragment, now_s: float) -> None:
        self.media_bytes += len(event.data)
        span = self._pictures.span_s(event.data)
        if span is None:
            return
        start_s, end_s = span
        self.player.look(now_s)
        if self._last_media is None:
            self.first_media_s = now_s
            self._media_start_s = start_s
        else:
            segment, before_s = self._last_media
            gaps = self.fragment_gaps_s if segment == event.segment_idx else self.join_gaps_s
            gaps.append(now_s - before_s)
            dry_at_s = self.player.dry_at_s
            self.late_s.append(0.0 if dry_at_s is None else now_s - dry_at_s)
            if dry_at_s is not None and self.player.ahead_s == 0:
                self.ahead.append((dry_at_s, 0.0))
            self.ahead.append((now_s, self.player.ahead_s))
        self._last_media = event.segment_idx, now_s
        self._media_end_s = end_s
        self.player.received(start_s, end_s, now_s)
        self.ahead.append((now_s, self.player.ahead_s))
        for steering in self._applied:
            steering.media_s, steering.position_s = now_s, start_s
        self._applied.clear()

"""Whether a session has a connection, and for how long it waits for its client to come back. Time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Attached:
    """Connection number ``link`` serves the session; numbers rise with each."""

    link: int


@dataclass(frozen=True, slots=True)
class Detached:
    """Connection number ``link`` was lost; its client may come back until ``until_s``."""

    link: int
    until_s: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The client left, or did not come back in time."""


AttachmentState: TypeAlias = Attached | Detached | Gone


class GraceOver(Exception):
    """Nobody can go on with the session any more."""


class Overtaken(Exception):
    """The session goes on over a newer connection than this one."""


class Attachment:
    """A session's connections, one after the other. The first, number 1, is there from the start.

    ``grace_s``: how long to wait for the client after a connection was lost. ``resumable``: the client knows how to
    come back; until it is set, a connection that is lost takes the session with it.
    """

    def __init__(self, grace_s: float) -> None:
        self.state: AttachmentState = Attached(1)
        self.resumable = False
        self._grace_s = grace_s

    def lost(self, link: int, now_s: float, *, left: bool) -> AttachmentState:
        """Connection ``link`` ended; ``left``: with a close frame of its client. A replaced one changes nothing."""
        match self.state:
            case Attached(current) if current == link:
                gone = left or not self.resumable or self._grace_s <= 0
                self.state = Gone() if gone else Detached(link, now_s + self._grace_s)
            case Detached(current) if current == link and left:
                # Its sender had noticed first.
                self.state = Gone()
        return self.state

    def resume(self, now_s: float) -> int:
        """The client is back, on a connection with the number returned; takes the place of one that seems to live.

        Raises GraceOver.
        """
        self.expire(now_s)
        match self.state:
            case Attached(link) | Detached(link):
                self.state = Attached(link + 1)
                return link + 1
            case Gone():
                raise GraceOver("the session's client did not come back in time")

    def expire(self, now_s: float) -> bool:
        """Whether the client is gone, which it is when its time is over."""
        if isinstance(self.state, Detached) and now_s >= self.state.until_s:
            self.state = Gone()
        return isinstance(self.state, Gone)

    def give_up(self) -> None:
        """Wait for nobody from here on; a connection that is there stays."""
        self.resumable = False
        if isinstance(self.state, Detached):
            self.state = Gone()

    def end(self) -> None:
        """The session is over."""
        self.state = Gone()

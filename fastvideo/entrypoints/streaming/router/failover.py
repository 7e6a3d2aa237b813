"""A session whose replica was lost goes on over another connection: there, or where the same stores are."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto

from fastvideo.entrypoints.streaming.router.frames import TEXT
from fastvideo.entrypoints.streaming.router.place import StreamPlace
from fastvideo.entrypoints.streaming.router.registry import Replica
from fastvideo.entrypoints.streaming.router.replica_link import LinkClosed, LinkFailed
from fastvideo.entrypoints.streaming.router.search import Attachment, ReplicaSearch
from fastvideo.entrypoints.streaming.router.state import RouterState
from fastvideo.entrypoints.streaming.router.wire_notes import read_server_note

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
# Of a replica that is lost again each time before anything has passed.
MAX_VAIN_ATTEMPTS = 3
_NEVER = frozenset(("resume_unknown", "resume_expired"))


class _Answer(Enum):
    NEVER = auto()
    NOT_NOW = auto()


class Failover:
    """Goes on with one session wherever that can be done."""

    def __init__(self, router: RouterState, search: ReplicaSearch, place: StreamPlace) -> None:
        self._router = router
        self._search = search
        self._place = place

    async def resume(self, lost: Replica, *, elsewhere: bool = False) -> Attachment | None:
        """A connection that continues where the lost one ended: its next message is the client's next.

        None when no replica can, or none could in ``resume_timeout_seconds``. ``elsewhere``: the one that it was is not
        asked.
        """
        opening = self._place.resumption()
        if opening is None:
            return None
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._router.config.resume_timeout_seconds
        pause_s = _FIRST_PAUSE_S
        never = {lost} if elsewhere else set()
        while True:
            for replica in self._candidates(lost, never):
                answer = await self._ask(replica, opening)
                if isinstance(answer, Attachment):
                    logger.info("a session of replica %s goes on at %s", lost.endpoint.label, replica.endpoint.label)
                    return answer
                if answer is _Answer.NEVER:
                    never.add(replica)
            if self._place.token is None or not self._candidates(lost, never) or loop.time() + pause_s > until_s:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _candidates(self, lost: Replica, never: set[Replica]) -> list[Replica]:
        """The lost replica, which has the session if it lives, and then the healthy ones."""
        others = [replica for replica in self._router.registry.all() if replica.is_healthy and replica is not lost]
        others.sort(key=lambda replica: (not replica.takes_sessions, not replica.primary, replica.load))
        return [replica for replica in (lost, *others) if replica not in never]

    async def _ask(self, replica: Replica, opening: str) -> Attachment | _Answer:
        try:
            at = await self._search.attach(replica, admitted=True)
        except LinkFailed as failure:
            # Whoever does not listen has no session any more.
            return _Answer.NEVER if failure.nobody_listens else _Answer.NOT_NOW
        kept = False
        try:
            async with asyncio.timeout(self._router.config.answer_timeout_seconds):
                await at.link.send(opening)
                first = await at.link.receive()
            note = read_server_note(first) if first.opcode == TEXT else None
            if note is not None and note.type == "queue_status" and note.session_id is not None:
                if self._place.token is None:
                    # Meanwhile the client went on over a connection of its own.
                    return _Answer.NEVER
                kept = True
                self._router.hold(note.resume_token or self._place.token, self._place)
                return at
            never = note is not None and note.reason in _NEVER and not note.retryable
            return _Answer.NEVER if never else _Answer.NOT_NOW
        except (LinkClosed, TimeoutError):
            return _Answer.NOT_NOW
        finally:
            if not kept:
                at.leave()

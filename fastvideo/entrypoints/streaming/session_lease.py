"""Who may write a session: the decisions behind a lease, without any store.

A session that moves to another server may still be written by the one it came from, which perhaps was only slow. Each
lease therefore has a token, higher than every one before it, and a store refuses whoever comes with a lower token than
the highest it has given out. That holds also after a lease has run out: running out only allows others to take it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastvideo.api.errors import FastVideoError

DEFAULT_LEASE_TTL_S = 15.0


class LeaseHeld(FastVideoError):
    """Somebody else may write this session now."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = True


class LeaseLost(FastVideoError):
    """Somebody else took the session over, and this holder must not write it any more."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of ``holder`` to write a session, for ``ttl_s`` from when it was granted or renewed last.

    ``holder`` names one server process, and no other one at any time.
    """

    session_id: str
    holder: str
    token: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a store keeps of the last lease of a session. ``held_until_s`` is a time of the store's clock."""

    holder: str
    token: int
    held_until_s: float


def grant(record: LeaseRecord | None, lease: Lease, *, now_s: float, take_over: bool) -> LeaseRecord:
    """What follows ``record`` when ``lease`` is asked for (its token is not read). Raises LeaseHeld.

    ``take_over`` takes it from whoever holds it. Tokens also rise by the clock, so that they go on rising after a
    store has lost its records.
    """
    if record is not None and record.holder != lease.holder and record.held_until_s > now_s and not take_over:
        raise LeaseHeld(
            f"expected session {lease.session_id} to be free, found it with another server for another"
            f" {record.held_until_s - now_s:.1f} s; wait, or take it over"
        )
    token = max(record.token + 1 if record is not None else 1, int(now_s * 1000))
    return LeaseRecord(lease.holder, token, now_s + lease.ttl_s)


def renew(record: LeaseRecord | None, lease: Lease, *, now_s: float) -> LeaseRecord:
    """What follows ``record`` when its holder goes on. Raises LeaseLost."""
    check_write(record, lease.session_id, lease, now_s=now_s)
    return LeaseRecord(lease.holder, lease.token, now_s + lease.ttl_s)


def check_write(record: LeaseRecord | None, session_id: str, lease: Lease | None, *, now_s: float) -> None:
    """Raises LeaseLost for a lease that was taken over, and LeaseHeld for none while somebody holds one."""
    if record is None:
        return
    if lease is None:
        if record.held_until_s > now_s:
            raise LeaseHeld(held_text(session_id))
    elif record.token > lease.token:
        raise LeaseLost(lost_text(session_id))


def held_text(session_id: str) -> str:
    """The sentence for a write without the lease that somebody holds."""
    return f"expected the lease of session {session_id}, which a server holds, to come with this write; acquire it"


def lost_text(session_id: str) -> str:
    """The sentence for a write with a lease that was taken over."""
    return f"expected the newest lease of session {session_id}, got one that was taken over; end this copy of it"

"""How a session stands, as its operator sees it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class SessionStanding:
    """One session now. ``connected``: its client is there; ``generating``: a worker is at its segment; ``lead_ms``:
    media sent and not yet played, None before the session is open; ``queue_position``: None unless it waits for a
    worker; ``address``: the client's, without its last part; ``owner``: the name of its API key."""

    id: str
    state: str
    connected: bool
    generating: bool
    segment_idx: int
    lead_ms: float | None
    age_s: float
    queue_position: int | None
    address: str
    owner: str | None


def coarse_address(address: str) -> str:
    """An address or network without what tells one household from the next; ``unknown`` for what is neither."""
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return "unknown"
    kept = 24 if network.version == 4 else 48
    return str(network.supernet(new_prefix=kept)) if network.prefixlen > kept else str(network)

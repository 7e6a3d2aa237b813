"""Headers that a replica gets: what its client said, and who that client is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastvideo.entrypoints.access.networks import is_trusted

Header = tuple[str, str]

# About one connection, and not about what it carries (RFC 9110, 7.6.1).
_HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    )
)
# The WebSocket handshake of each hop is its own.
_HANDSHAKE = frozenset(
    (
        *("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept"),
        "sec-websocket-protocol",
    )
)
# No request that is passed on has a body: one that was announced would be looked for in what comes next.
_BODY = frozenset(("content-length", "expect"))
_FORWARDED = frozenset(("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"))


def end_to_end(headers: Iterable[Header]) -> list[Header]:
    """Headers without those that are about one connection only."""
    headers = list(headers)
    named = {name.strip().lower() for key, value in headers if key.lower() == "connection" for name in value.split(",")}
    return [(key, value) for key, value in headers if key.lower() not in _HOP_BY_HOP | named]


def for_replica(
    headers: Iterable[Header], *, peer: str | None, scheme: str, trusted_proxies: Sequence[str] = ()
) -> list[Header]:
    """What a replica is told: the client's headers, Host and Origin among them, and X-Forwarded-For, -Proto and -Host.

    What a peer says of others is believed, and passed on, only if it is one of ``trusted_proxies``.
    """
    headers = list(headers)
    believed: dict[str, str] = {}
    if peer is not None and is_trusted(peer, trusted_proxies):
        for key, value in headers:
            if (name := key.lower()) in _FORWARDED:
                # A header that comes twice is one list.
                believed[name] = f"{believed[name]}, {value}" if name in believed else value
    dropped = _FORWARDED | _HANDSHAKE | _BODY
    passed = [(key, value) for key, value in end_to_end(headers) if key.lower() not in dropped]
    host = next((value for key, value in headers if key.lower() == "host"), "")
    if peer is not None:
        before = believed.get("x-forwarded-for")
        passed.append(("X-Forwarded-For", f"{before}, {peer}" if before else peer))
    passed.append(("X-Forwarded-Proto", believed.get("x-forwarded-proto") or scheme))
    passed.append(("X-Forwarded-Host", believed.get("x-forwarded-host") or host))
    return passed

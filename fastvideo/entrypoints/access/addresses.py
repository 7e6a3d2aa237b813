"""Where a client is: its address, and whether that is this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from fastvideo.entrypoints.access.networks import is_trusted

# Whoever sends one of these speaks for somebody else.
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
UNKNOWN = "unknown"


def from_this_machine(connection: HTTPConnection) -> bool:
    """Whether a client on this machine asked for this machine by its name, and not a proxy for somebody else.

    The name counts because a page elsewhere can have a name of its own lead here.
    """
    if any(name in connection.headers for name in _PROXY_HEADERS):
        return False
    host = connection.client.host if connection.client else ""
    return is_loopback(host) and is_loopback(host_name(connection.headers.get("host", "")))


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A Unix socket, or a name that could lead anywhere.
        return False


def host_name(host: str) -> str:
    """The name in a Host header, without its port; empty for nonsense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def client_address(connection: HTTPConnection, trusted_proxies: Sequence[str]) -> str:
    """The address that a client is counted by: its peer's, or what the nearest trusted proxy says.

    An IPv6 client is counted by its /64 network, all of whose addresses are its own.
    """
    peer = connection.client.host if connection.client else UNKNOWN
    said = [part.strip() for line in connection.headers.getlist("x-forwarded-for") for part in line.split(",")]
    while said and is_trusted(peer, trusted_proxies):
        peer = said.pop()
    return _counted(peer)


def _counted(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)

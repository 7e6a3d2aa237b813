"""Who may see which recordings there are. Whoever knows the id of one, 128 random bits, may see that one."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from starlette.requests import Request

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def may_list(request: Request, listing: Literal["loopback", "everyone", "nobody"]) -> bool:
    """Whether this client may list recordings.

    ``loopback`` means a client on this machine that asked for this machine by its name, so that neither a proxy's
    clients nor a page under a name that was made to lead here get the list.
    """
    if listing != "loopback":
        return listing == "everyone"
    return from_this_machine(request)


def from_this_machine(request: Request) -> bool:
    """Whether a client on this machine asked for this machine by its name, and no proxy for somebody else."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.client.host if request.client else "") and is_loopback(
        _host_name(request.headers.get("host", ""))
    )


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # A Unix socket, or a name that could lead anywhere.
        return False


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""

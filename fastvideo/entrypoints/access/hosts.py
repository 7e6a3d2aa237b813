"""Whether a server was asked for by a name that nobody else can have lead to it.

A page elsewhere can have a name of its own lead to this machine (DNS rebinding). Browsers then take the page and the
server for one site, and Origin and Host agree: the name alone tells.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from fastvideo.api.access_config import AuthConfig

_HOST = re.compile(r"([a-z0-9._\-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def host_allowed(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names an IP address, or one of ``names``, with any port or none."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = found[1].strip("[]")
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def allowed_names(config: AuthConfig) -> frozenset[str]:
    """``localhost``, this machine's own names, and those that the operator listed, as hosts or in origins."""
    listed = {urlsplit(origin).hostname or "" for origin in config.allowed_origins}
    return frozenset({"localhost", *_own_names(), *config.allowed_hosts, *listed} - {""})


def asked_hosts(headers: Headers) -> list[str]:
    """Every host that a request names: that of its Host, and those that a proxy says it was asked for. Without either,
    as no browser asks, there are none.

    What anybody may write into X-Forwarded-Host adds to what is looked at, and takes the place of nothing.
    """
    said = [part.strip() for line in headers.getlist("x-forwarded-host") for part in line.split(",")]
    return [*headers.getlist("host"), *(part for part in said if part)]


def _own_names() -> set[str]:
    whole = socket.gethostname().lower()
    short = whole.partition(".")[0]
    return {whole, short, f"{short}.local"} if short else set()

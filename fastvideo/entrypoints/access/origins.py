"""Whether a page may use the server: browsers always name the origin of one, other clients need not."""

from __future__ import annotations

import re
from collections.abc import Collection

_ORIGIN = re.compile(r"(https?)://([a-z0-9.\-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_HOST = re.compile(r"([a-z0-9.\-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS = {"http": "80", "https": "443"}


def origin_allowed(origin: str | None, host: str, allowed: Collection[str] = ()) -> bool:
    """Whether ``origin`` is none, in ``allowed``, or of the host and port that the request was sent to.

    The scheme is left open, because whoever ends TLS in front of the server does not tell.
    """
    if origin is None:
        return True
    origin = origin.lower()
    if origin in allowed:
        return True
    named, asked = _ORIGIN.fullmatch(origin), _HOST.fullmatch(host.lower())
    if named is None or asked is None:
        return False
    default = _PORTS[named[1]]
    return (named[2], named[3] or default) == (asked[1], asked[2] or default)

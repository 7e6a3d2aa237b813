"""How replicas with https addresses are checked."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Certificates by the system's authorities. Loading those takes a while, and is done once."""
    return ssl.create_default_context()

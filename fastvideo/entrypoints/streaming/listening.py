"""The socket that a server listens on, and where people find it."""

from __future__ import annotations

import errno
import socket

from fastvideo.entrypoints.streaming.start_failure import StartFailure

_ANY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where a browser on this machine finds the server


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises StartFailure."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # The port of a server that has just ended is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise cannot_listen(host, port, error) from error
    return listener


def greeting(title: str, listener: socket.socket, *, secure: bool = False) -> str:
    """The line that tells where a server is, for a browser on this machine; ``secure``: with https."""
    host, port = listener.getsockname()[:2]
    here = _ANY_INTERFACE.get(host, host)
    shown = f"[{here}]" if ":" in here else here
    return f"{title}: {'https' if secure else 'http'}://{shown}:{port}"


def open_to_all(host: str, port: int) -> str:
    """The warning of a server that other machines can reach and that asks nobody for a key."""
    return (
        f"WARNING: anybody who can reach {host}, port {port} may use this server: it asks for no keys.\n"
        "WARNING: set server.host to 127.0.0.1, or make keys with 'fastvideo keys new' and set server.auth."
    )


def cannot_listen(host: str, port: int, error: OSError | OverflowError) -> StartFailure:
    """One sentence on why this address cannot be listened on."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return StartFailure(f"another program listens on {host}, port {port}; end it, or choose another port")
    reason = error.strerror if isinstance(error, OSError) else None
    return StartFailure(f"cannot listen on {host}, port {port}: {reason or error}")

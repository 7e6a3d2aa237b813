"""Messages of the worker protocol as they lie on the wire: taken off a socket one by one, without being read."""

from __future__ import annotations

import socket

from fastvideo.entrypoints.streaming.worker_wire import PREFIX_BYTES, lengths


def receive_whole(connection: socket.socket) -> bytes | None:
    """The next message, prefix included; None when the connection is over, which may be in the middle of one.

    Raises WireError for bytes that begin no message.
    """
    prefix = _exactly(connection, PREFIX_BYTES)
    if prefix is None:
        return None
    rest = _exactly(connection, sum(lengths(prefix)))
    return None if rest is None else bytes(prefix + rest)


def _exactly(connection: socket.socket, size_bytes: int) -> bytearray | None:
    data = bytearray(size_bytes)
    missing = memoryview(data)
    while missing:
        try:
            received = connection.recv_into(missing)
        except OSError:
            return None
        if not received:
            return None
        missing = missing[received:]
    return data

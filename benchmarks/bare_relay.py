"""What no proxy can be cheaper than: bytes from one socket to another, unseen. Two threads a connection, which the
kernel wakes; there is no event loop.

Prints ``{"port": N}``.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading

# As much as the router takes of a backlog.
_PIECE_BYTES = 2 << 20


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    space = memoryview(bytearray(_PIECE_BYTES))
    try:
        while count := source.recv_into(space):
            target.sendall(space[:count])
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One of the two has gone, and the other one learns of it.
        for one in (source, target):
            one.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of loopback, where connections go")
    port: int = parser.parse_args().port
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for way in ((client, server), (server, client)):
            for one in way:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_on, args=way, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())

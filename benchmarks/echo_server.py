"""The bare tool beside our server: ``websockets`` alone, which echoes text and sends the same load of media.

Prints ``{"port": N}``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.replay import ReplayLoad


class EchoServer:
    """Every connection is echoed; those that send ``stream`` first also get media, in turns."""

    def __init__(self, load: ReplayLoad) -> None:
        self._load = load
        self._fragment = load.fragment()
        self._viewers: list[ServerConnection] = []

    async def answer(self, connection: ServerConnection) -> None:
        """Serve one connection until it closes."""
        async for message in connection:
            if message == "stream":
                self._viewers.append(connection)
            else:
                await connection.send(message)

    async def send_media(self) -> None:
        """Send the load for ever."""
        loop = asyncio.get_running_loop()
        while True:
            for viewer in list(self._viewers):
                began_s = loop.time()
                for index in range(self._load.fragments):
                    try:
                        await viewer.send(bytes(bytearray(self._fragment)))
                    except ConnectionClosed:
                        self._viewers.remove(viewer)
                        break
                    await asyncio.sleep(began_s + (index + 1) * self._load.spacing_s - loop.time())
            if not self._viewers:
                await asyncio.sleep(self._load.spacing_s)


async def _run(load: ReplayLoad) -> None:
    server = EchoServer(load)
    async with serve(server.answer, "127.0.0.1", 0, compression=None) as listening:
        print(json.dumps({"port": listening.sockets[0].getsockname()[1]}), flush=True)
        await server.send_media()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replay", type=ReplayLoad.from_json, required=True, help="the load, as JSON")
    uvloop.run(_run(parser.parse_args().replay))
    return 0


if __name__ == "__main__":
    sys.exit(main())

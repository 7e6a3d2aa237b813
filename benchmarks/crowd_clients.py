"""Who makes up a crowd: neighbours that watch, clients that never read, that drop connections, that talk too much."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode

from benchmarks.replay import FRAGMENT_S
from benchmarks.replay_segment import sent_s, sequence
from benchmarks.visitor import Gone, Visitor
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.bench.virtual_player import VirtualPlayer
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2StreamStart,
    Pong,
    SessionInitV2,
    encode_client_message,
)

STREAMS = {"curated_prompts": ["a lighthouse"], "loop_generation_enabled": True}
# In turn: no word at all, half a request, a handshake, a handshake and the opening message.
DROPS = 4
_OPENING = encode_client_message(SessionInitV2(curated_prompts=["a lighthouse"], loop_generation_enabled=True))
_RESET = struct.pack("ii", 1, 0)
# Of every ten messages: pings, and one that is none.
_NONSENSE_EVERY = 10
# Descriptors of ours at a time, and of the server.
_AT_ONCE = 64
_LOOK_S = 0.2


def _handshake(port: int) -> bytes:
    lines = (
        *("GET /v1/stream HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"),
    )
    return "\r\n".join((*lines, "", "")).encode()


def _opening() -> bytes:
    return Frame(Opcode.TEXT, _OPENING.encode()).serialize(mask=True)


async def _connected(port: int) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
    except BaseException:
        one.close()
        raise
    return one


@dataclass
class Watched:
    """What neighbours had. ``late_s``: for each fragment, since when the picture had stood; ``delivered_s``: from the
    worker's handing it on until it was there; ``missing``: fragments that did not come; ``broke``: what ended them."""

    late_s: list[float] = field(default_factory=list)
    delivered_s: list[float] = field(default_factory=list)
    missing: int = 0
    broke: list[str] = field(default_factory=list)


async def watch(port: int, watched: Watched, leave: asyncio.Event) -> None:
    """A viewer with a player that plays in real time, until it may leave."""
    visitor = await Visitor.open(port, **STREAMS)
    player, count = VirtualPlayer(), 0
    try:
        while not leave.is_set():
            data = (await visitor.until(MediaFragment)).data
            now_s = time.monotonic()
            player.look(now_s)
            watched.late_s.append(0.0 if player.dry_at_s is None else now_s - player.dry_at_s)
            watched.delivered_s.append(now_s - sent_s(data))
            count += 1
            watched.missing += sequence(data) - count
            count = sequence(data)
            player.received((count - 1) * FRAGMENT_S, count * FRAGMENT_S, now_s)
    except Gone as gone:
        watched.broke.append(str(gone))
    await visitor.leave()


async def never_read(port: int) -> socket.socket:
    """A client that starts a stream, and reads nothing after its handshake."""
    loop, one = asyncio.get_running_loop(), await _connected(port)
    try:
        await loop.sock_sendall(one, _handshake(port))
        await loop.sock_recv(one, 4096)
        await loop.sock_sendall(one, _opening())
    except BaseException:
        one.close()
        raise
    return one


async def read_again(port: int, over: Callable[[str], Awaitable[bool]]) -> str:
    """A client that stops reading, and reads on once the server has given it up; the code and reason of its close."""
    visitor = await Visitor.open(port, **STREAMS)
    await visitor.until(Ltx2StreamStart)
    visitor.stop_reading()
    while not await over(visitor.protocol.session_id or ""):  # noqa: ASYNC110  # it is the other process that changes
        await asyncio.sleep(_LOOK_S)
    visitor.read_on()
    code = await visitor.closes()
    return f"{code} {visitor.close_reason}"


async def drop(port: int, number: int) -> None:
    """Open a connection and let go of it: every other one with a reset, at one of the moments of DROPS."""
    loop = asyncio.get_running_loop()
    with await _connected(port) as one:
        moment = number % DROPS
        if moment == 1:
            await loop.sock_sendall(one, _handshake(port)[: 40 + number % 80])
        elif moment > 1:
            await loop.sock_sendall(one, _handshake(port))
            await loop.sock_recv(one, 4096)
        if moment == 3:
            await loop.sock_sendall(one, _opening())
            # Half of them once the session has begun.
            if number % 8 == 7:
                await loop.sock_recv(one, 4096)
        if number // DROPS % 2:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def drop_many(port: int, count: int, *, per_second: float) -> list[str]:
    """So many dropped connections, evenly in time or as fast as the server takes them; what went wrong."""
    room, faults, began_s = asyncio.Semaphore(_AT_ONCE), list[str](), time.monotonic()

    async def one(number: int) -> None:
        try:
            async with asyncio.timeout(60):
                await drop(port, number)
        except (OSError, TimeoutError) as error:
            faults.append(f"{type(error).__name__}: {error}")
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(max(0.0, began_s + number / per_second - time.monotonic()))
            await room.acquire()
            group.create_task(one(number))
    return faults


@dataclass
class Talked:
    """Of one client that says too much: what it sent, what was answered, and how long a ping took."""

    sent: int = 0
    pongs: int = 0
    errors: int = 0
    lasted_s: float = 0.0
    round_trips_s: list[float] = field(default_factory=list)


async def talk(port: int, per_second: float, until: asyncio.Event) -> Talked:
    """Pings, and nonsense in between, at a rate, until told; waits for the answer to each."""
    visitor = await Visitor.open(port)
    await visitor.until(Ltx2StreamStart)
    talked, sent_at_s = Talked(), dict[str, float]()

    async def read() -> None:
        with contextlib.suppress(Gone):
            while True:
                event = await visitor.event()
                if isinstance(event, Pong):
                    talked.pongs += 1
                    talked.round_trips_s.append(time.monotonic() - sent_at_s.pop(str(event.id)))
                elif isinstance(event, ErrorMessage):
                    talked.errors += 1

    reader, began_s = asyncio.create_task(read()), time.monotonic()
    while not until.is_set():
        if talked.sent % _NONSENSE_EVERY == 0:
            await visitor.send('{"type": "nonsense"}')
        else:
            sent_at_s[str(talked.sent)] = time.monotonic()
            await visitor.say("ping", id=str(talked.sent))
        talked.sent += 1
        await asyncio.sleep(max(0.0, began_s + talked.sent / per_second - time.monotonic()))
    talked.lasted_s = time.monotonic() - began_s
    await visitor.say("session_stop")
    await reader
    return talked

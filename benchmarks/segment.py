"""A segment through the server, from frames that are ready in the worker to the last byte at a client, against bare
ffmpeg and against PyAV alone on the same frames with the same settings.

Ours: wall seconds from the first frame ready until the client has the last fragment; CPU seconds of the server process
from there until the segment is announced complete. ffmpeg: from the start of the program to its end, CPU of that
process alone. PyAV: coding into its own muxer in memory, nothing else. Rounds alternate; the best of each counts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from benchmarks.bare_tools import Cost, find_ffmpeg, names_of_tools
from benchmarks.clip import SIZES, TINY, Size, clip_file, read_clip, sound
from benchmarks.cost_ratios import CostRounds
from benchmarks.report import Effort, Figure, Report, main
from benchmarks.server_process import ServerProcess, module_server
from fastvideo.client import StreamClient
from fastvideo.client.stream_protocol import MediaFragment
from fastvideo.entrypoints.streaming.protocol import ErrorMessage, Ltx2SegmentComplete

_ROUNDS = {Effort.QUICK: 1, Effort.NORMAL: 5, Effort.LONG: 15}


def measure(effort: Effort) -> Report:
    """Every size, in turn."""
    program = find_ffmpeg()
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for size in (TINY,) if effort is Effort.QUICK else SIZES:
        rounds = asyncio.run(_rounds(size, program, _ROUNDS[effort]))
        figures += rounds.figures()
        details[size.name] = rounds.details()
    return Report("segment", effort, figures, against=names_of_tools(program), details=details)


async def _rounds(size: Size, program: str | None, count: int) -> CostRounds:
    rounds = CostRounds(size)
    with clip_file(size) as path:
        clip, wave = read_clip(path), sound(size.frames)
        async with (
            module_server("benchmarks.stream_server", "--clip", str(path)) as server,
            await StreamClient.connect(server.stream_url) as client,
        ):
            await client.started()
            for _ in range(count):
                # The bare tools block the client, which has nothing to do meanwhile.
                rounds.add(await _served(client, server), program, clip, wave)
    return rounds


async def _served(client: StreamClient, server: ServerProcess) -> Cost:
    await client.prompt("a lighthouse on a headland at dawn")
    first_s = last_s = 0.0
    size_bytes = 0
    async for event in client:
        match event:
            case MediaFragment():
                last_s = time.monotonic()
                first_s = first_s or last_s
                size_bytes += len(event.data)
            case Ltx2SegmentComplete():
                break
            case ErrorMessage():
                raise RuntimeError(event.message)
    cpu_s = server.cpu_s()
    stamps = await server.line()
    ready_s = stamps["ready_s"]
    return Cost(last_s - ready_s, cpu_s - stamps["ready_cpu_s"], size_bytes, (first_s - ready_s) * 1000)


if __name__ == "__main__":
    sys.exit(main("segment", __doc__, measure))

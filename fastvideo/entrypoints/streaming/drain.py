"""How a server that goes away ends its sessions: what runs is finished, as long as there is time for it."""

from __future__ import annotations

import asyncio
import logging

from fastvideo.entrypoints.streaming.runner import FAREWELL_S
from fastvideo.entrypoints.streaming.server_state import ServerState

logger = logging.getLogger(__name__)


async def drain(server: ServerState, timeout_s: float) -> None:
    """Take no more sessions and end those that there are; returns when they and their connections are over.

    A session whose segment is running gets ``timeout_s`` to finish it, and is cut off then; the others end at once.
    Clients have a few seconds more to take their last messages.
    """
    server.draining = True
    for leave in server.leaving:
        leave()
    # Later connections are refused, and hold nothing up.
    running = server.connections | server.session_tasks
    for runner in list(server.runners.values()):
        runner.drain()
    left = await _unfinished(running, timeout_s)
    if left:
        logger.warning(
            "sessions cut off because they were not over %g s after the drain began: %d", timeout_s, len(left)
        )
        for runner in list(server.runners.values()):
            runner.shut_down()
        await _unfinished(left, FAREWELL_S + 1.0)


async def _unfinished(tasks: set[asyncio.Task[None]], timeout_s: float) -> set[asyncio.Task[None]]:
    """The tasks that did not end in time."""
    return (await asyncio.wait(tasks, timeout=timeout_s))[1] if tasks else tasks

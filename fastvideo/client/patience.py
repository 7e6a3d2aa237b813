"""How long requests that failed are tried again."""

from __future__ import annotations

import asyncio
import random

from fastvideo.client.comeback import Comeback
from fastvideo.client.errors import RequestBusy, ServerUnreachable

PATIENCE_S = 60.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class Patience:
    """For something that takes several requests: each loss of the server is borne for ``patience_s``."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._comeback = Comeback(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._parts = 0
        self._lost = False

    def heard(self) -> None:
        """The server gave a part of what was asked for."""
        self._parts += 1
        if self._lost:
            self._lost = False
            self._comeback.back(asyncio.get_running_loop().time())

    async def wait_after(self, error: ServerUnreachable | RequestBusy) -> None:
        """Wait before the next request; raises the error when it has been long enough."""
        now_s = asyncio.get_running_loop().time()
        if not self._lost:
            self._lost = True
            self._comeback.lost(now_s, self._parts, self._patience_s)
        asked_s = error.retry_after_s if isinstance(error, RequestBusy) else None
        pause_s = self._comeback.pause_s(now_s, random.random(), asked_s)
        if pause_s is None:
            raise error
        await asyncio.sleep(pause_s)

"""A session through a router, as its viewer has it: what came and when, what was told, what became of prompts."""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_right

from benchmarks.stream_story import StreamStory
from benchmarks.timeline_check import TimelineCheck
from fastvideo.client import StreamClient, StreamClosed
from fastvideo.client.stream_protocol import InitSegment, MediaFragment
from fastvideo.entrypoints.streaming.protocol import SegmentPromptSource, SessionInitV2
from fastvideo.entrypoints.streaming.viewer_clock import ViewerClock

_PROMPT_EVERY_S = (3.0, 9.0)
_OPENING = SessionInitV2(curated_prompts=["a red kite over the sea"], auto_extension_enabled=True)


class Viewer:
    """Watches from :meth:`watch` to :meth:`leave`. Its connection is never replaced: what breaks is seen to break.

    ``lead_s``: how far ahead of it the servers make what nobody asked for; ``asks``: whether it asks for something else
    every few seconds.

    ``arrivals_s``: when fragments came; ``media``: the first init segment and all fragments; ``asked``: its prompts,
    each unlike any other; ``broke``: how the session ended that nobody had ended.
    """

    def __init__(self, number: int, *, lead_s: float, asks: bool) -> None:
        self.check = TimelineCheck()
        self.story = StreamStory()
        self.arrivals_s: list[float] = []
        self.media: list[bytes] = []
        self.asked: list[str] = []
        self.broke: str | None = None
        self._number = number
        self._lead_s = lead_s
        self._asks = asks
        self._clock = ViewerClock()
        self._due_s: list[float] = []
        self._random = random.Random(number)
        self._client: StreamClient | None = None
        self._leaving = False
        self._silent = False

    @property
    def session_id(self) -> str:
        """The id that the session has for all time."""
        assert self._client is not None
        return self._client.protocol.session_id or ""

    async def watch(self, url: str) -> None:
        """Open a session, and take what comes until it is over."""
        async with await StreamClient.connect(url, _OPENING, resume=False) as client:
            self._client = client
            asking = asyncio.create_task(self._ask(client))
            try:
                async for event in client:
                    now_s = time.monotonic()
                    self.story.add(event)
                    if isinstance(event, InitSegment):
                        self.check.add_init(event.data)
                        self.media += [] if self.media else [event.data]
                    elif isinstance(event, MediaFragment):
                        self.check.add_fragment(event.data, now_s)
                        self.media.append(event.data)
                        self._arrived(now_s)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        if not self._leaving or client.close_code != 1000:
            self.broke = f"{client.close_code} {client.close_reason}, after: {self.story.errors[-1:]}"

    def fall_silent(self) -> None:
        """Ask for nothing more, so that what was asked for can be made."""
        self._silent = True

    async def leave(self) -> None:
        """End the session as a viewer does."""
        self._leaving = True
        if self._client is not None and self.broke is None:
            await self._client.stop()

    def next_after(self, moment_s: float) -> float | None:
        """Seconds from then to the next fragment."""
        index = bisect_right(self.arrivals_s, moment_s)
        return self.arrivals_s[index] - moment_s if index < len(self.arrivals_s) else None

    def late_after(self, moment_s: float) -> float | None:
        """Seconds from then to the next fragment, without what the servers wait for on purpose: until the viewer has
        played what is beyond its lead."""
        index = bisect_right(self.arrivals_s, moment_s)
        if index >= len(self.arrivals_s):
            return None
        due_s = self._due_s[index - 1] if index else moment_s
        return max(0.0, self.arrivals_s[index] - max(moment_s, due_s))

    def made_in_a_second(self) -> float:
        """Seconds of media that came in a second, over the whole session."""
        if len(self.arrivals_s) < 2:
            return 0.0
        return self.check.media_s / (self.arrivals_s[-1] - self.arrivals_s[0])

    def latest_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a fragment that ends between these moments, less what is waited for on purpose."""
        waits = zip(self._due_s, self.arrivals_s[1:], strict=False)
        return max((at_s - due_s for due_s, at_s in waits if since_s <= at_s <= until_s), default=0.0)

    def prompts_lost(self) -> list[str]:
        """What was asked for and became no segment."""
        return [prompt for prompt in self.asked if self.story.made[prompt] == 0]

    def prompts_repeated(self) -> list[str]:
        """What was asked for once and became more than one segment."""
        return [prompt for prompt in self.asked if self.story.made[prompt] > 1]

    def _arrived(self, now_s: float) -> None:
        self.arrivals_s.append(now_s)
        self._clock.sent(self.check.media_s * 1000, now_s)
        self._due_s.append(now_s + max(0.0, self._clock.ahead_ms(now_s) / 1000 - self._lead_s))

    async def _ask(self, client: StreamClient) -> None:
        await client.started()
        while self._asks and not self._silent:
            await asyncio.sleep(self._random.uniform(*_PROMPT_EVERY_S))
            prompt = f"a blue boat, {self._number} {len(self.asked)}"
            message = SegmentPromptSource(prompt=prompt, request_id=f"{self._number}-{len(self.asked)}")
            self.asked.append(prompt)
            try:
                await client.send(message)
            except StreamClosed:
                return

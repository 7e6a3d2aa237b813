"""A stream as its user sees it: steer it, iterate over its frames, write it into files."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fastvideo.client.asked import Asked
from fastvideo.client.clip import Clip
from fastvideo.client.errors import PromptRejected, StreamClosed, StreamError, stream_error
from fastvideo.client.recording import Recording
from fastvideo.client.stream_client import StreamClient
from fastvideo.client.stream_protocol import Event, InitSegment, MediaFragment
from fastvideo.entrypoints.streaming.protocol import (
    AutoExtensionUpdated,
    EnhancementUpdated,
    ErrorMessage,
    LoopGenerationUpdated,
    Ltx2SegmentStart,
    Ltx2StreamStart,
    PromptStatus,
    SeedPromptsUpdated,
    SessionStop,
    StateEnvelope,
)

if TYPE_CHECKING:
    from fastvideo.client.decoder import StreamDecoder
    from fastvideo.client.frame import Frame

# After these a session goes on over the same connection; others are followed by a close, which tells the end.
_IN_SESSION = frozenset({"worker_failed", "invalid_message", "upstream_timeout"})
_NORMAL_CLOSE = 1000
_PROMPTS_KEPT = 16


class AsyncStream:
    """A live stream; :meth:`AsyncClient.stream` opens one.

    One task at a time reads (``frames``, ``save``, ``events``); any may steer meanwhile. Nothing is read ahead of the
    reader, so a slow one slows the server down instead of filling memory. When the connection breaks, or its server
    goes away, the stream goes on over another one where it was; ``resumed`` counts that.

    A stream that keeps going is read until it ends by itself (the server's segment cap, an idle limit) or is stopped.
    One that does not is read until everything that was asked for has come; more can be asked for and read then.

    What is wrong is raised where it is read: PromptRejected, StreamError for what the server says of a segment, and
    StreamClosed when the stream is lost. After the first two, reading can go on.
    """

    def __init__(self, client: StreamClient, started: Ltx2StreamStart, *, keeps_going: bool) -> None:
        self._client = client
        self._started = started
        self._keeps_going = keeps_going
        self._asked = Asked()
        self._init: InitSegment | None = None
        self._prompts: OrderedDict[int, str] = OrderedDict()
        self._taps: list[tuple[Clip, Recording]] = []
        self._decoder: StreamDecoder | None = None
        self._frames: deque[Frame] = deque()
        self._reader: object | None = None
        self._stopping = False

    # --- what is known

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return self._started.width

    @property
    def height(self) -> int:
        """Of the picture, in pixels."""
        return self._started.height

    @property
    def fps(self) -> int:
        """Pictures in a second."""
        return self._started.fps

    @property
    def limits(self) -> dict[str, int | float]:
        """What one prompt may ask for at most, by name."""
        return dict(self._started.limits or {})

    @property
    def session_id(self) -> str | None:
        """The server's name for the session."""
        return self._client.protocol.session_id

    @property
    def resumed(self) -> int:
        """How often the stream went on over another connection."""
        return self._client.resumed

    @property
    def ending(self) -> str | None:
        """Why the stream ended: ``stop_requested``, ``segment_cap`` or ``error``; None while it goes on."""
        ending = self._client.protocol.ending
        return ending.reason if ending is not None else None

    # --- steering

    async def prompt(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> str:
        """Ask for a segment, after those that were asked for; gives the id that events about it carry."""
        request_id = self._client.new_request_id()
        self._asked.prompt(request_id)
        return await self._client.prompt(
            prompt,
            negative_prompt=negative_prompt,
            seed=seed,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            request_id=request_id,
        )

    async def steer(
        self,
        *,
        keep_going: bool | None = None,
        loop: bool | None = None,
        enhance: bool | None = None,
        prompts: list[str] | None = None,
    ) -> None:
        """Change how the stream goes on by itself, from the next segment on; what is None stays as it is."""
        if keep_going is not None:
            self._keeps_going = keep_going
            await self._client.send(AutoExtensionUpdated(enabled=keep_going))
        if loop is not None:
            await self._client.send(LoopGenerationUpdated(enabled=loop))
        if enhance is not None:
            await self._client.send(EnhancementUpdated(enabled=enhance))
        if prompts is not None:
            await self._client.send(SeedPromptsUpdated(seed_prompts=prompts))

    async def cancel(self) -> None:
        """Stop the running segment; the stream goes on with the next prompt."""
        await self._client.cancel()

    async def pause(self, paused: bool = True) -> None:
        """Hold generation after the running segment, or let it go on."""
        await self._client.pause(paused)

    async def snapshot(self) -> StateEnvelope:
        """Where the stream stands, for another one to go on from (``state``); StreamError when there is nothing yet."""
        return (await self._client.snapshot()).state

    async def stop(self) -> None:
        """End the stream cleanly; what was made until then can still be read."""
        self._stopping = True
        await self._client.stop()

    # --- reading

    async def events(self) -> AsyncGenerator[Event, None]:
        """Every message and every piece of media, as they are; errors of the server are events here."""
        async with contextlib.aclosing(self._read()) as events:
            async for event in events:
                yield event

    async def frames(self, *, seconds: float | None = None, stop: bool = False) -> AsyncGenerator[Frame, None]:
        """Decoded pictures, each with its sound, for so many ``seconds`` of them or for as long as there are any.

        ``stop``: end the stream after that, so that the last picture has all of its sound.
        """
        decoder = self._decoder = self._decoder or self._new_decoder()
        given, until = 0, None if seconds is None else round(seconds * self.fps)
        async with contextlib.aclosing(self._read_on(stop=stop)) as events:
            async for event in events:
                if isinstance(event, InitSegment):
                    self._frames.extend(decoder.begin(event))
                elif isinstance(event, MediaFragment):
                    self._frames.extend(await asyncio.to_thread(decoder.decode, event))
                while self._frames and given != until:
                    given += 1
                    yield self._frames.popleft()
                if given == until:
                    break
            else:
                self._frames.extend(decoder.rest())
                while self._frames and given != until:
                    given += 1
                    yield self._frames.popleft()
        if stop and not self._stopping:
            await self.stop()

    async def save(self, path: str | os.PathLike[str], *, seconds: float | None = None, stop: bool = False) -> Path:
        """Write an MP4 file of so many ``seconds`` (to within a quarter of one), or of all that comes.

        Fragments are written as they come: until the file is whole it is ``<path>.part``, and plays at any moment.
        ``stop``: end the stream after that, and write what it still owes: the last 64 ms of sound.
        """
        with self._recording(path) as (clip, recording):
            async with contextlib.aclosing(self._read_on(stop=stop)) as events:
                async for _ in events:
                    if seconds is not None and clip.picture_s >= seconds - 1e-6 and not self._stopping:
                        if not stop:
                            break
                        await self._ask_to_stop()
        return recording.path

    @contextlib.contextmanager
    def record(self, path: str | os.PathLike[str]) -> Iterator[Recording]:
        """While this lasts, whatever is read is also written into an MP4 file; it begins with the next keyframe."""
        with self._recording(path) as (_, recording):
            yield recording

    async def close(self) -> None:
        """Leave: the server ends the session at once. May be called again."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---

    async def _read(self) -> AsyncGenerator[Event, None]:
        """Events until there is nothing left, or the stream has ended; StreamClosed when it was lost."""
        # An iteration that was left may still be there, so it is the newest one that counts.
        me = self._reader = object()
        while self._stopping or self._keeps_going or not self._asked.nothing_left:
            try:
                event = await self._client.receive()
            except StreamClosed as closed:
                if closed.close_code == _NORMAL_CLOSE:
                    return
                raise
            if self._reader is not me:
                raise RuntimeError("expected one reader of a stream at a time, got another one while this one waited")
            self._note(event)
            yield event

    async def _read_on(self, *, stop: bool) -> AsyncGenerator[Event, None]:
        """The same, with what is wrong raised; ``stop`` when nothing is left, and read what then comes."""
        while True:
            async with contextlib.aclosing(self._read()) as events:
                async for event in events:
                    problem = _problem(event)
                    if problem is not None:
                        raise problem
                    yield event
            if not stop or self._stopping:
                return
            await self._ask_to_stop()

    async def _ask_to_stop(self) -> None:
        self._stopping = True
        try:
            await self._client.send(SessionStop())
        except StreamClosed:
            # It has ended by itself; what it said last is still to be read.
            return

    def _new_decoder(self) -> StreamDecoder:
        # FFmpeg's libraries are loaded for those alone who want frames.
        from fastvideo.client.decoder import StreamDecoder

        decoder = StreamDecoder(lambda segment: self._prompts.get(segment, ""))
        if self._init is not None:
            decoder.begin(self._init)
        return decoder

    def _note(self, event: Event) -> None:
        self._asked.receive(event)
        if isinstance(event, InitSegment):
            self._init = event
        elif isinstance(event, Ltx2SegmentStart):
            self._prompts[event.segment_idx] = event.prompt
            if len(self._prompts) > _PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        for clip, recording in self._taps:
            media = clip.add(event)
            if media is not None:
                recording.add(media)

    @contextlib.contextmanager
    def _recording(self, path: str | os.PathLike[str]) -> Iterator[tuple[Clip, Recording]]:
        tap = clip, recording = Clip(), Recording(path)
        if self._init is not None:
            clip.add(self._init)
            recording.add(self._init)
        self._taps.append(tap)
        try:
            with recording:
                yield tap
        finally:
            self._taps.remove(tap)


def _problem(event: Event) -> PromptRejected | StreamError | None:
    if isinstance(event, PromptStatus) and event.status == "rejected":
        return PromptRejected(event.request_id, event.reason)
    if isinstance(event, ErrorMessage) and event.code in _IN_SESSION:
        return stream_error(event)
    return None

"""A live stream for programs without an event loop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastvideo.client.async_stream import AsyncStream
from fastvideo.client.background_loop import BackgroundLoop
from fastvideo.client.recording import Recording
from fastvideo.client.stream_protocol import Event
from fastvideo.entrypoints.streaming.protocol import StateEnvelope

if TYPE_CHECKING:
    from fastvideo.client.frame import Frame


class Stream:
    """A live stream; :meth:`Client.stream` opens one. The same as :class:`AsyncStream`, and as careful.

    One thread at a time reads; any may steer meanwhile.
    """

    def __init__(self, loop: BackgroundLoop, stream: AsyncStream) -> None:
        self._loop = loop
        self._stream = stream

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return self._stream.width

    @property
    def height(self) -> int:
        """Of the picture, in pixels."""
        return self._stream.height

    @property
    def fps(self) -> int:
        """Pictures in a second."""
        return self._stream.fps

    @property
    def limits(self) -> dict[str, int | float]:
        """What one prompt may ask for at most, by name."""
        return self._stream.limits

    @property
    def session_id(self) -> str | None:
        """The server's name for the session."""
        return self._stream.session_id

    @property
    def resumed(self) -> int:
        """How often the stream went on over another connection."""
        return self._stream.resumed

    @property
    def ending(self) -> str | None:
        """Why the stream ended: ``stop_requested``, ``segment_cap`` or ``error``; None while it goes on."""
        return self._stream.ending

    def prompt(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> str:
        """Ask for a segment, after those that were asked for; gives the id that events about it carry."""
        return self._loop.run(
            partial(
                self._stream.prompt,
                prompt,
                negative_prompt=negative_prompt,
                seed=seed,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
            )
        )

    def steer(
        self,
        *,
        keep_going: bool | None = None,
        loop: bool | None = None,
        enhance: bool | None = None,
        prompts: list[str] | None = None,
    ) -> None:
        """Change how the stream goes on by itself, from the next segment on; what is None stays as it is."""
        steer = partial(self._stream.steer, keep_going=keep_going, loop=loop, enhance=enhance, prompts=prompts)
        self._loop.run(steer)

    def cancel(self) -> None:
        """Stop the running segment; the stream goes on with the next prompt."""
        self._loop.run(self._stream.cancel)

    def pause(self, paused: bool = True) -> None:
        """Hold generation after the running segment, or let it go on."""
        self._loop.run(self._stream.pause, paused)

    def snapshot(self) -> StateEnvelope:
        """Where the stream stands, for another one to go on from (``state``); StreamError when there is nothing yet."""
        return self._loop.run(self._stream.snapshot)

    def stop(self) -> None:
        """End the stream cleanly; what was made until then can still be read."""
        self._loop.run(self._stream.stop)

    def events(self) -> Iterator[Event]:
        """Every message and every piece of media, as they are; errors of the server are events here."""
        return self._loop.iterate(self._stream.events())

    def frames(self, *, seconds: float | None = None, stop: bool = False) -> Iterator[Frame]:
        """Decoded pictures, each with its sound, for so many ``seconds`` of them or for as long as there are any.

        ``stop``: end the stream after that, so that the last picture has all of its sound.
        """
        return self._loop.iterate(self._stream.frames(seconds=seconds, stop=stop))

    def save(self, path: str | os.PathLike[str], *, seconds: float | None = None, stop: bool = False) -> Path:
        """Write an MP4 file of so many ``seconds`` (to within a quarter of one), or of all that comes.

        Fragments are written as they come: until the file is whole it is ``<path>.part``, and plays at any moment.
        ``stop``: end the stream after that, and write what it still owes: the last 64 ms of sound.
        """
        return self._loop.run(partial(self._stream.save, path, seconds=seconds, stop=stop))

    def record(self, path: str | os.PathLike[str]) -> AbstractContextManager[Recording]:
        """While this lasts, whatever is read is also written into an MP4 file; it begins with the next keyframe."""
        return self._stream.record(path)

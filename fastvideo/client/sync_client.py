"""The client of a server for programs without an event loop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fastvideo.client.async_client import DEFAULT_URL, TIMEOUT_S, AsyncClient
from fastvideo.client.async_stream import AsyncStream
from fastvideo.client.background_loop import BackgroundLoop
from fastvideo.client.image_file import ImageSource
from fastvideo.client.opening import StateSource
from fastvideo.client.sync_stream import Stream

if TYPE_CHECKING:
    from fastvideo.client.sync_jobs import Images, Videos


class Client:
    """A server, by its address; the same as :class:`AsyncClient`, whose work one thread in the background does.

    May be used by several threads at once. Nothing is connected before something is asked for. ``close`` ends the
    thread and all that is open; the thread ends with the program in any case.

    ``api_key``: for servers that ask for one; None is FASTVIDEO_API_KEY of the environment, if it is set.
    ``timeout_s``: how long connecting, or a pause within an answer, may take.
    """

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._client = AsyncClient(url, api_key=api_key, timeout_s=timeout_s)
        self._loop = BackgroundLoop()
        self._lock = threading.Lock()
        self._streams: set[AsyncStream] = set()
        self._closed = False

    @cached_property
    def videos(self) -> Videos:
        """Videos as jobs."""
        from fastvideo.client.sync_jobs import Videos

        return Videos(self._loop, self._client.videos)

    @cached_property
    def images(self) -> Images:
        """Images, which are waited for."""
        from fastvideo.client.sync_jobs import Images

        return Images(self._loop, self._client.images)

    @contextlib.contextmanager
    def stream(
        self,
        prompt: str | None = None,
        *,
        prompts: Sequence[str] = (),
        keep_going: bool = True,
        loop: bool = False,
        enhance: bool = False,
        single_clip: bool = False,
        preset: str | None = None,
        image: ImageSource | None = None,
        state: StateSource | None = None,
        record: bool | None = None,
        client_id: str | None = None,
        resume: bool = True,
    ) -> Iterator[Stream]:
        """A live stream, once the server has a place for it; leaving the block ends it.

        ``prompt``: what to begin with. ``prompts``: a story that plays by itself, one segment after the other, and from
        its beginning again with ``loop``. ``keep_going``: go on with the last prompt when nothing else is asked for.
        ``enhance``: let a language model of the server's word prompts better. ``single_clip``: a clip of its own for
        each prompt. ``image``: the first picture, a path of this machine or the file's bytes. ``state``: go on from an
        earlier stream's ``snapshot()`` or a video's ``state``. ``record``: ask the server to keep it. ``resume``: come
        back when the connection breaks.

        Raises ServerUnreachable, KeyRefused, ServerBusy, StreamError and StreamClosed.
        """
        opened = self._client.stream(
            prompt,
            prompts=prompts,
            keep_going=keep_going,
            loop=loop,
            enhance=enhance,
            single_clip=single_clip,
            preset=preset,
            image=image,
            state=state,
            record=record,
            client_id=client_id,
            resume=resume,
        )
        stream = self._loop.run(opened.__aenter__)
        with self._lock:
            self._streams.add(stream)
        try:
            yield Stream(self._loop, stream)
        finally:
            with self._lock:
                self._streams.discard(stream)
                closed = self._closed
            if not closed:
                self._loop.run(opened.__aexit__, *_PLAIN_EXIT)

    def close(self) -> None:
        """End what is open, and the thread. May be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            streams = list(self._streams)
        if self._loop.started:
            self._loop.run(self._close, streams)
        self._loop.close()

    async def _close(self, streams: list[AsyncStream]) -> None:
        for stream in streams:
            await stream.close()
        await self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# What went wrong in the block is the caller's, and no business of the stream's end.
_PLAIN_EXIT = (None, None, None)

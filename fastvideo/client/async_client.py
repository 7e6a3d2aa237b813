"""The asyncio client of a server: streams, videos and images."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fastvideo.client.address import ServerAddress
from fastvideo.client.async_stream import AsyncStream
from fastvideo.client.errors import ServerUnreachable
from fastvideo.client.handshake import key_to_show
from fastvideo.client.http_door import HttpDoor
from fastvideo.client.image_file import ImageSource
from fastvideo.client.opening import StateSource, opening_message
from fastvideo.client.stream_client import StreamClient

if TYPE_CHECKING:
    from fastvideo.client.images import AsyncImages
    from fastvideo.client.videos import AsyncVideos

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = 30.0


class AsyncClient:
    """A server, by its address. Nothing is connected before something is asked for.

    ``api_key``: for servers that ask for one; None is FASTVIDEO_API_KEY of the environment, if it is set.
    ``timeout_s``: how long connecting, or a pause within an answer, may take.
    """

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._address = ServerAddress.parse(url)
        self._api_key = key_to_show(api_key)
        self._timeout_s = timeout_s
        self._door = HttpDoor(self._address, self._api_key, timeout_s)

    @cached_property
    def videos(self) -> AsyncVideos:
        """Videos as jobs."""
        from fastvideo.client.videos import AsyncVideos

        return AsyncVideos(self._door)

    @cached_property
    def images(self) -> AsyncImages:
        """Images, which are waited for."""
        from fastvideo.client.images import AsyncImages

        return AsyncImages(self._door)

    @contextlib.asynccontextmanager
    async def stream(
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
    ) -> AsyncIterator[AsyncStream]:
        """A live stream, once the server has a place for it; leaving the block ends it.

        ``prompt``: what to begin with. ``prompts``: a story that plays by itself, one segment after the other, and from
        its beginning again with ``loop``. ``keep_going``: go on with the last prompt when nothing else is asked for.
        ``enhance``: let a language model of the server's word prompts better. ``single_clip``: a clip of its own for
        each prompt. ``image``: the first picture, a path of this machine or the file's bytes. ``state``: go on from an
        earlier stream's ``snapshot()`` or a video's ``state``. ``record``: ask the server to keep it. ``resume``: come
        back when the connection breaks.

        Raises ServerUnreachable, KeyRefused, ServerBusy, StreamError and StreamClosed.
        """
        opening = opening_message(
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
        )
        url = self._address.stream_url
        try:
            client = await StreamClient.connect(
                url, opening, open_timeout_s=self._timeout_s, resume=resume, api_key=self._api_key
            )
        except (OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise ServerUnreachable(
                f"expected a fastvideo server at {url}, got: {what}. Is it running, and is the address right?"
            ) from error
        async with client:
            stream = AsyncStream(client, await client.started(), keeps_going=keep_going or loop)
            if prompt is not None:
                await stream.prompt(prompt)
            yield stream

    async def close(self) -> None:
        """Close what is open. May be called again."""
        await self._door.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

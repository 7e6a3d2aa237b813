"""The documented per-segment encoder: frames in, fMP4 chunks out, coded in a thread beside the event loop."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastvideo.api.errors import EncodeError
from fastvideo.media.encoder import Fragment, SegmentEncoder
from fastvideo.media.timeline import MediaCursor

logger = logging.getLogger(__name__)

_DEFAULT_FFMPEG_PATH = "ffmpeg"
_PIXEL_FORMAT = "yuv420p"
_CLOSE_TIMEOUT_S = 5.0
_BATCH_FRAMES = 8

Result = TypeVar("Result")


@dataclass(frozen=True)
class FragmentedMP4Chunk:
    """One binary message: ``init`` is a whole ``ftyp`` + ``moov``, ``media`` one whole ``moof`` + ``mdat`` pair."""

    kind: Literal["init", "media"]
    data: bytes
    stream_id: str
    segment_idx: int


class FragmentedMP4Encoder:
    """Codes one segment; an async context manager, used once.

    The segment starts its own timeline, or goes on at ``cursor``; ``next_cursor`` is where the following one goes on.
    FFmpeg's libraries code inside this process, so ``ffmpeg_path`` and ``extra_args`` have nothing to act on: anything
    but their defaults raises ValueError, as does a ``pixel_format_out`` that browsers do not play.
    """

    def __init__(
        self,
        *,
        width: int,
        height: int,
        fps: float,
        segment_idx: int,
        stream_id: str | None = None,
        ffmpeg_path: str = _DEFAULT_FFMPEG_PATH,
        preset: str = "ultrafast",
        pixel_format_out: str = _PIXEL_FORMAT,
        extra_args: Sequence[str] | None = None,
        encoder: str = "auto",
        cursor: MediaCursor | None = None,
    ) -> None:
        if ffmpeg_path != _DEFAULT_FFMPEG_PATH:
            raise ValueError(
                f"ffmpeg_path: no ffmpeg program is run, FFmpeg's libraries code in this process; "
                f"leave it at {_DEFAULT_FFMPEG_PATH!r}, got {ffmpeg_path!r}"
            )
        if extra_args:
            raise ValueError(f"extra_args: there is no ffmpeg command line to add to, got {list(extra_args)}")
        if pixel_format_out != _PIXEL_FORMAT:
            raise ValueError(f"pixel_format_out: browsers play {_PIXEL_FORMAT} only, got {pixel_format_out!r}")
        self._width, self._height, self._fps = width, height, fps
        self._preset, self._encoder = preset, encoder
        self._cursor = cursor or MediaCursor.start()
        self._segment: SegmentEncoder | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._used = False
        self.segment_idx = segment_idx
        self.stream_id = stream_id or uuid.uuid4().hex
        self.next_cursor: MediaCursor | None = None

    @property
    def mime(self) -> str:
        """MIME type with the codecs that are really coded; known inside ``async with``."""
        return self._opened().mime

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fmp4-encoder")
        try:
            self._segment = await self._in_thread(self._open_segment)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def encode(
        self,
        frames: Sequence[NDArray[Any]] | AsyncIterable[NDArray[Any]],
        *,
        audio: NDArray[np.floating] | None = None,
        sample_rate: int | None = None,
    ) -> AsyncIterator[FragmentedMP4Chunk]:
        """Yield the init segment, then media chunks as pictures [H, W, 3] (uint8, or float in 0..1) are coded.

        ``audio`` is the segment's whole sound, float [2, n] or [1, n]; without it the sound track is silent. Raises
        TypeError or ValueError for frames of the wrong kind or size, EncodeError for no frames or a dead coder.
        """
        segment = self._opened()
        if self._used:
            raise RuntimeError("a FragmentedMP4Encoder codes one segment; make another for the next")
        self._used = True
        if audio is not None:
            if sample_rate is None:
                raise ValueError("audio needs its sample_rate")
            await self._in_thread(partial(segment.push_audio, audio, sample_rate))
        count = 0
        async for batch in _batches(frames):
            pictures = [self._checked(picture) for picture in batch]
            fragments = await self._in_thread(partial(_code, segment, pictures))
            if not count:
                yield self._chunk("init", segment.init_segment)
            count += len(batch)
            for fragment in fragments:
                yield self._chunk("media", fragment.data)
        if not count:
            raise EncodeError("a segment needs at least one frame, got none")
        fragments, self.next_cursor = await self._in_thread(segment.finish)
        for fragment in fragments:
            yield self._chunk("media", fragment.data)

    async def close(self) -> None:
        """Free the coders; waits at most 5 s for a picture that is being coded. Harmless when repeated."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        segment, self._segment = self._segment, None
        try:
            if segment is not None:
                loop = asyncio.get_running_loop()
                await asyncio.wait_for(loop.run_in_executor(thread, segment.close), _CLOSE_TIMEOUT_S)
        except TimeoutError:
            logger.warning("a coder of stream %s still runs %.0f s after close", self.stream_id, _CLOSE_TIMEOUT_S)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    def _open_segment(self) -> SegmentEncoder:
        return SegmentEncoder(
            width=self._width,
            height=self._height,
            fps=self._fps,
            cursor=self._cursor,
            encoder=self._encoder,
            preset=self._preset,
        )

    def _opened(self) -> SegmentEncoder:
        if self._segment is None:
            raise RuntimeError("use the encoder inside 'async with'")
        return self._segment

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._thread is None:
            raise EncodeError("the encoder was closed while it was coding")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _chunk(self, kind: Literal["init", "media"], data: bytes) -> FragmentedMP4Chunk:
        return FragmentedMP4Chunk(kind, data, self.stream_id, self.segment_idx)

    def _checked(self, picture: NDArray[Any]) -> NDArray[Any]:
        if not isinstance(picture, np.ndarray):
            raise TypeError(f"frames must be numpy arrays [{self._height}, {self._width}, 3], got {type(picture)!r}")
        if picture.shape != (self._height, self._width, 3):
            raise ValueError(f"expected a frame of shape [{self._height}, {self._width}, 3], got {list(picture.shape)}")
        if picture.dtype == np.uint8 or np.issubdtype(picture.dtype, np.floating):
            return picture
        if not np.issubdtype(picture.dtype, np.integer) or picture.min() < 0 or picture.max() > 255:
            raise ValueError(f"expected pixel values 0..255, or floats in 0..1; got {picture.dtype}")
        return picture.astype(np.uint8)


def _code(segment: SegmentEncoder, pictures: list[NDArray[Any]]) -> list[Fragment]:
    return [fragment for picture in pictures for fragment in segment.push_video(picture[np.newaxis])]


async def _batches(
    frames: Sequence[NDArray[Any]] | AsyncIterable[NDArray[Any]],
) -> AsyncIterator[Sequence[NDArray[Any]]]:
    """A list in batches, which saves hops between threads; an iterator picture by picture, which keeps latency low."""
    if isinstance(frames, AsyncIterable):
        async for frame in frames:
            yield [frame]
        return
    for start in range(0, len(frames), _BATCH_FRAMES):
        yield frames[start : start + _BATCH_FRAMES]

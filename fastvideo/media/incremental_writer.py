"""An MP4 file that grows block by block, and can be played while it does."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastvideo.media.encoder import SegmentEncoder, flush_stream
from fastvideo.media.timeline import MediaCursor

# Blocks whose frames wait to be coded, beside the one that is; who adds more waits.
_WAITING_BLOCKS = 1


class IncrementalVideoWriter:
    """One timeline of fMP4 in a file that must not exist yet, and each block in ``block_dir`` as ``b<N>.mp4`` too.

    Blocks are coded in a thread of the writer's own, in order. A block's file has the coded bytes of the whole one's,
    so its times go on from the block before. Raises FileExistsError.
    """

    def __init__(
        self, path: str | Path, fps: float = 24, block_dir: str | Path | None = None, *, encoder: str = "auto"
    ) -> None:
        self.path = Path(path)
        self.block_dir = None if block_dir is None else Path(block_dir)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.block_dir is not None:
            self.block_dir.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("xb")
        self._fps, self._encoder = fps, encoder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="video-writer")
        self._waiting: deque[Future[Path]] = deque()
        self._cursor = MediaCursor.start()
        self._form: tuple[int, int, bool] | None = None
        self._blocks = 0
        self._failure: Exception | None = None
        self._closed = False

    def add_frames(
        self, frames: NDArray[np.uint8], audio: NDArray[np.floating] | None = None, sample_rate: int | None = None
    ) -> Future[Path] | None:
        """Code frames uint8 [N, H, W, 3] and their sound, float [channels, samples], or None for a file without sound.

        The result's result is the block's own file, or the whole one; None where there are no frames. Waits while
        earlier blocks wait. Raises ValueError for another size than before, for sound where there was none or the other
        way round, and after :meth:`close`.
        """
        if self._closed:
            raise ValueError(f"{self.path} is closed")
        if not len(frames):
            return None
        form = (frames.shape[1], frames.shape[2], audio is not None)
        if self._form is None:
            self._form = form
        if form != self._form:
            raise ValueError(f"expected blocks like the first (height, width, with sound) = {self._form}, got {form}")
        while len(self._waiting) > _WAITING_BLOCKS:
            self._waiting.popleft().exception()
        written = self._thread.submit(self._code, self._blocks, frames, audio, sample_rate)
        self._blocks += 1
        self._waiting.append(written)
        return written

    def close(self) -> None:
        """Code what waits and the sound that is still owed, and end the file; without a block there is none. Twice is
        the same as once. Raises what broke the timeline."""
        if self._closed:
            return
        self._closed = True
        self._thread.shutdown(wait=True)
        with self._file as file:
            if self._failure is None and self._blocks:
                fragments, self._cursor = flush_stream(self._cursor)
                file.writelines(fragment.data for fragment in fragments)
        if not self._blocks:
            self.path.unlink()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _code(
        self,
        number: int,
        frames: NDArray[np.uint8],
        audio: NDArray[np.floating] | None,
        sample_rate: int | None,
    ) -> Path:
        if self._failure is not None:
            raise self._failure
        try:
            with SegmentEncoder(
                width=frames.shape[2],
                height=frames.shape[1],
                fps=self._fps,
                cursor=self._cursor,
                encoder=self._encoder,
                with_audio=audio is not None,
            ) as segment:
                if audio is not None and sample_rate is not None:
                    segment.push_audio(audio, sample_rate)
                fragments = segment.push_video(frames)
                owed, self._cursor = segment.finish()
                init = segment.init_segment
            parts = [fragment.data for fragment in (*fragments, *owed)]
            self._file.writelines(parts if number else [init, *parts])
            self._file.flush()
            if self.block_dir is None:
                return self.path
            block = self.block_dir / f"b{number}.mp4"
            block.write_bytes(b"".join([init, *parts]))
        except Exception as error:
            # Nothing can follow a block that is missing.
            self._failure = error
            raise
        return block

"""Some frames of a result, where they lie: in memory that the worker writes again once they are released."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray


class FramesView:
    """``frames``: uint8 [N, H, W, 3], read only, the ones from ``first_frame`` of ``total_frames`` (None: not known).

    Release it on the thread of the event loop, soon: there is room for few. Leaving ``with`` releases, too.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        first_frame: int,
        total_frames: int | None = None,
        *,
        on_release: Callable[[], None] | None = None,
    ) -> None:
        self.first_frame = first_frame
        self.total_frames = total_frames
        self._frames: NDArray[np.uint8] | None = frames
        self._on_release = on_release

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The frames. Raises RuntimeError once they are released; an array taken before then shows others by then."""
        if self._frames is None:
            raise RuntimeError("the view was released; copy what is to be kept")
        return self._frames

    def release(self) -> None:
        """Let the worker have the place again; twice is the same as once."""
        if self._frames is not None:
            self._frames = None
            if self._on_release is not None:
                self._on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

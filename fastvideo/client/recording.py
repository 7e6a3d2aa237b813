"""A stream kept as a file: the first init segment, then every fragment."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import IO

from fastvideo.client.errors import ProtocolViolation
from fastvideo.client.stream_protocol import Event, InitSegment, MediaFragment


class Recording:
    """Writes a fragmented MP4 that players open while it grows: `<path>.part` until `close`, then `path`.

    Feed it every event of one timeline; what is no media is ignored. Without media no file is left.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.fragments = 0
        self._part = self.path.with_name(self.path.name + ".part")
        self._file: IO[bytes] | None = None
        self._init: InitSegment | None = None

    def add(self, event: Event) -> None:
        """Append the event's media; raises ProtocolViolation when one file can no longer hold the stream."""
        if isinstance(event, InitSegment):
            self._add_init(event)
        elif isinstance(event, MediaFragment):
            if self._file is None or self._init is None or self._init.stream_id != event.stream_id:
                raise ProtocolViolation("expected the fragment's init segment before it")
            self._file.write(event.data)
            self.fragments += 1

    def close(self) -> None:
        """Finish the file under its name; may be called again."""
        if self._file is None:
            return
        file, self._file = self._file, None
        file.close()
        if self.fragments:
            self._part.replace(self.path)
        else:
            self._part.unlink()

    def _add_init(self, event: InitSegment) -> None:
        if self._init is None:
            self._file = self._part.open("wb")
            self._file.write(event.data)
            self._init = event
        elif (event.stream_id, event.data) != (self._init.stream_id, self._init.data):
            raise ProtocolViolation("the stream's codec, size or timeline changed; close this recording, start another")

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

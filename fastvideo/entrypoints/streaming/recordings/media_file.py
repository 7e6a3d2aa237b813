"""The MP4 of a recording: the first init segment, an index of fixed size, then every fragment.

It can be played at any moment. While it grows the index on the disk is empty, and readers get the current one instead;
at the end the index is written in its place. What a killed writer left is cut after the last whole fragment.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from fastvideo.media.boxes import HEADER_BYTES, BoxError, parse_boxes
from fastvideo.media.init_segment import TrackInfo, read_init_segment
from fastvideo.media.segment_index import INDEX_BYTES, SegmentIndex, fragment_pairs

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_BOX_BYTES = 1 << 20


def is_init_segment(data: bytes) -> bool:
    """Whether a binary message of the stream is an init segment, and no media."""
    return data[4:8] == b"ftyp"


class MediaFile:
    """Written by one thread, read by others. Methods raise OSError for the disk's faults, BoxError for bad media."""

    def __init__(self, fd: int, init: bytes) -> None:
        tracks = read_init_segment(init)
        pictures = next((track for track in tracks if track.width_px), None)
        if pictures is None:
            raise BoxError("expected a track of pictures, found none")
        self.pictures: TrackInfo = pictures
        self._fd = fd
        self._init = init
        self._index = SegmentIndex(pictures.track_id, pictures.timescale)
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path, init: bytes) -> MediaFile:
        """A new file; FileExistsError when there is one."""
        read_init_segment(init)
        fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            file = cls(fd, init)
            file._write_whole(init + file._index.boxes(), 0)
        except BaseException:
            os.close(fd)
            raise
        return file

    @classmethod
    def recover(cls, path: Path) -> MediaFile:
        """What a killed writer left, cut after its last whole fragment. BoxError when there is no beginning."""
        fd = os.open(path, _FLAGS)
        try:
            init = _read_init(fd)
            file = cls(fd, init)
            file._read_fragments(os.fstat(fd).st_size)
            os.ftruncate(fd, file.size)
        except BaseException:
            os.close(fd)
            raise
        return file

    @property
    def init(self) -> bytes:
        """Its init segment."""
        return self._init

    @property
    def size(self) -> int:
        """Bytes of all that is whole."""
        return len(self._init) + INDEX_BYTES + self._index.media_bytes

    @property
    def duration_s(self) -> float:
        """Length of the pictures."""
        return self._index.duration_s

    @property
    def has_media(self) -> bool:
        """Whether there is a whole fragment."""
        return self._index.media_bytes > 0

    def append(self, data: bytes) -> None:
        """Add whole fragments; those that are there already, because a segment was made again, are passed over."""
        at = 0
        for moof, pair_bytes in fragment_pairs(data):
            pair = data[at : at + pair_bytes]
            at += pair_bytes
            fragment = self._index.read(moof, pair_bytes)
            if fragment is None:
                continue
            size = self.size
            try:
                self._write_whole(pair, size)
            except OSError:
                os.ftruncate(self._fd, size)
                raise
            # Readers hear of it once it is there.
            with self._lock:
                self._index.note(fragment)

    def head(self) -> tuple[bytes, int]:
        """The bytes in front of the fragments, with the index as it is now, and the size of the file that it is of."""
        with self._lock:
            return self._init + self._index.boxes(), self.size

    def finish(self) -> None:
        """Write the index into its place, so that whoever is killed on the way leaves one that is whole, or none."""
        index = self._index.boxes()
        start = len(self._init)
        self._write_whole(index[HEADER_BYTES:], start + HEADER_BYTES)
        os.fsync(self._fd)
        self._write_whole(index[:HEADER_BYTES], start)
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; once."""
        os.close(self._fd)

    def _write_whole(self, data: bytes, at: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._fd, rest, at)
            rest, at = rest[written:], at + written

    def _read_fragments(self, size: int) -> None:
        while (moof := _box_at(self._fd, self.size, size, b"moof")) is not None:
            mdat = _box_at(self._fd, self.size + moof, size, b"mdat")
            if mdat is None or moof > _MAX_BOX_BYTES:
                return
            try:
                (parsed,) = parse_boxes(os.pread(self._fd, moof, self.size))
                fragment = self._index.read(parsed, moof + mdat)
            except (BoxError, ValueError):
                return
            if fragment is None:
                return
            self._index.note(fragment)


def _box_at(fd: int, at: int, size: int, kind: bytes) -> int | None:
    """The size of the box that starts there, if it is of this kind and whole."""
    header = os.pread(fd, HEADER_BYTES, at)
    if len(header) < HEADER_BYTES or header[4:] != kind:
        return None
    box_bytes = int.from_bytes(header[:4], "big")
    # A larger box has another kind of header, and is no fragment of ours.
    return box_bytes if HEADER_BYTES <= box_bytes <= size - at else None


def _read_init(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    ftyp = _box_at(fd, 0, size, b"ftyp")
    moov = None if ftyp is None else _box_at(fd, ftyp, size, b"moov")
    if ftyp is None or moov is None or ftyp + moov > _MAX_BOX_BYTES or ftyp + moov + INDEX_BYTES > size:
        raise BoxError("expected an init segment and an index, found neither whole")
    return os.pread(fd, ftyp + moov, 0)

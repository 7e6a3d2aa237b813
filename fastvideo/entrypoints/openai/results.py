"""Where the files of jobs lie: finished videos and images, and what unfinished ones go on from."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.openai.job import is_job_id
from fastvideo.entrypoints.streaming.recordings.open_file import OpenFile, ReadableFile
from fastvideo.entrypoints.streaming.store_urls import bucket_of, missing_extra
from fastvideo.entrypoints.streaming.stored_state import MAX_STORED_STATE_BYTES, decode_state, encode_state

if TYPE_CHECKING:
    from fastvideo.entrypoints.openai.result_objects import ResultObjects

RESULTS_PATH = "openai.results"
_NAME = re.compile(r"((?:video|img)_[0-9a-f]{32})(?:-\d{1,2})?(?:\.[a-z0-9]{1,8}){1,2}")
_LOCK = ".lock"
_EXPECTED = "file:/folder on this machine or s3://bucket/prefix"
# The generator tells an image by its content.
INPUT_ENDING = ".input"

P = ParamSpec("P")
T = TypeVar("T")


class Results:
    """A folder for one server alone; every file's name begins with the id of its job. Methods raise OSError.

    ``objects``: object storage that keeps what is finished in the place of the folder, which then has only what is
    being made; methods raise StoreUnavailable as well.
    """

    def __init__(self, folder: Path, objects: ResultObjects | None = None) -> None:
        self.folder = folder
        self._objects = objects
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigValidationError(
                RESULTS_PATH, f"expected a folder that no other server uses, got {folder}; give each one its own"
            ) from None

    def path(self, job_id: str, ending: str) -> Path:
        """Where a file of a job lies, such as ``.mp4``. Raises ValueError for what is no id."""
        name = f"{job_id}{ending}"
        if not is_job_id(job_id) or not _NAME.fullmatch(name):
            raise ValueError(f"expected the id of a job and an ending of a file, got {name[:80]!r}")
        return self.folder / name

    def finish(self, path: Path) -> None:
        """Put a finished file to where it is opened; one that lies elsewhere then stays here as well, until
        :meth:`remove_work`, so that whoever is killed on the way has it still."""
        if self._objects is not None:
            self._objects.put(_job_of(path.name), path)

    def open(self, name: str) -> ReadableFile | None:
        """A finished file by its name, to be read and closed; None when there is none."""
        if not _NAME.fullmatch(name):
            return None
        if self._objects is not None:
            return self._objects.open(_job_of(name), name)
        try:
            fd = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        return OpenFile(fd, os.fstat(fd).st_size)

    def write(self, path: Path, data: bytes) -> None:
        """A whole file, or none."""
        temporary = path.with_name(f".{path.name}.new")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)

    def write_state(self, job_id: str, state: ContinuationState, *, begun: bool = True) -> None:
        """What the next segment of a job continues; or, before it has begun, what its first one does.

        Raises StateInvalid for one that is too large.
        """
        self.write(self._state_path(job_id, begun), encode_state(state))

    def read_last_state(self, job_id: str) -> ContinuationState | None:
        """What a job that is done leaves to the next one; None when there is nothing."""
        file = self.open(self._state_path(job_id, True).name)
        if file is None:
            return None
        try:
            return decode_state(file.read(0, MAX_STORED_STATE_BYTES + 1))
        finally:
            file.close()

    def read_state(self, job_id: str, *, begun: bool = True) -> ContinuationState | None:
        """What :meth:`write_state` wrote last for a job that is being made, None when there is none."""
        path = self._state_path(job_id, begun)
        try:
            with path.open("rb") as file:
                return decode_state(file.read(MAX_STORED_STATE_BYTES + 1))
        except FileNotFoundError:
            return None

    def remove(self, job_id: str) -> None:
        """Every file of a job."""
        for name in self._names(job_id):
            with suppress(FileNotFoundError):
                os.unlink(self.folder / name)
        if self._objects is not None:
            self._objects.remove(job_id)

    def remove_work(self, job_id: str, *, keep_state: bool) -> None:
        """What a job needed until it was done: its first image, and its states unless the last one is wanted."""
        state = self._state_path(job_id, True)
        if keep_state and self._objects is not None and state.is_file():
            self._objects.put(job_id, state)
        for name in self._names(job_id):
            needed = not name.endswith((".state", INPUT_ENDING)) or (keep_state and name == state.name)
            if self._objects is not None or not needed:
                with suppress(FileNotFoundError):
                    os.unlink(self.folder / name)

    def sweep(self, known: Collection[str]) -> None:
        """Remove the files of jobs that nobody knows of any more, and what was never finished, before any is made."""
        for name in os.listdir(self.folder):
            match = _NAME.fullmatch(name.removeprefix(".").removesuffix(".new"))
            if match is not None and (name.startswith(".") or match[1] not in known):
                with suppress(FileNotFoundError):
                    os.unlink(self.folder / name)

    def expire(self, known: Collection[str]) -> None:
        """Remove what is past its time, in object storage, of jobs that nobody knows of any more."""
        if self._objects is not None:
            self._objects.sweep(known)

    def close(self) -> None:
        """Let another server have the folder."""
        os.close(self._lock)

    def _state_path(self, job_id: str, begun: bool) -> Path:
        return self.path(job_id, ".state" if begun else ".first.state")

    def _names(self, job_id: str) -> list[str]:
        return [name for name in os.listdir(self.folder) if (match := _NAME.fullmatch(name)) and match[1] == job_id]


def open_results(url: str | None, output_dir: str, *, ttl_s: float) -> Results:
    """What ``openai.results`` names, checked. May wait for a network.

    Raises ConfigValidationError, StoreUnavailable and OSError.
    """
    if url is None or not url.startswith("s3:"):
        return Results(results_folder(url, output_dir, _EXPECTED))
    bucket, prefix = bucket_of(url, RESULTS_PATH)
    try:
        from fastvideo.entrypoints.openai.result_objects import ResultObjects
        from fastvideo.entrypoints.streaming.s3_blobs import open_bucket
    except ModuleNotFoundError:
        raise missing_extra(RESULTS_PATH, "s3") from None
    objects = ResultObjects(open_bucket(bucket, prefix), ttl_s=ttl_s)
    objects.check()
    return Results(results_folder(None, output_dir), objects)


def check_results_url(url: str | None) -> None:
    """Raise ConfigValidationError for a URL that cannot be that of results; nothing is opened."""
    if url is not None and url.startswith("s3:"):
        bucket_of(url, RESULTS_PATH)
    else:
        results_folder(url, "", _EXPECTED)


def results_folder(url: str | None, output_dir: str, expected: str = "file:/folder on this machine") -> Path:
    """The folder that ``openai.results`` names. Raises ConfigValidationError."""
    if url is None:
        return Path(output_dir) / "results"
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path or parts.query:
        raise ConfigValidationError(RESULTS_PATH, f"expected {expected}, got {url[:80]!r}")
    return Path(unquote(parts.path))


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something on a thread. Whoever is cancelled meanwhile waits for its end: what removes files afterwards then
    removes also those that it wrote."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _job_of(name: str) -> str:
    return name.partition(".")[0].partition("-")[0]

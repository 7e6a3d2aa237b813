"""The folder in which the files of jobs lie: finished videos and images, and what unfinished ones go on from."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.openai.job import is_job_id
from fastvideo.entrypoints.streaming.recordings.open_file import OpenFile
from fastvideo.entrypoints.streaming.stored_state import MAX_STORED_STATE_BYTES, decode_state, encode_state

RESULTS_PATH = "openai.results"
_NAME = re.compile(r"((?:video|img)_[0-9a-f]{32})(?:-\d{1,2})?(?:\.[a-z0-9]{1,8}){1,2}")
_LOCK = ".lock"
# The generator tells an image by its content.
INPUT_ENDING = ".input"


class Results:
    """A folder for one server alone; every file's name begins with the id of its job. Methods raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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

    def open(self, name: str) -> OpenFile | None:
        """A finished file by its name, to be read and closed; None when there is none."""
        if not _NAME.fullmatch(name):
            return None
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

    def read_state(self, job_id: str, *, begun: bool = True) -> ContinuationState | None:
        """What :meth:`write_state` wrote last, None when there is none."""
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

    def remove_work(self, job_id: str, *, keep_state: bool) -> None:
        """What a job needed until it was done: its first image, and its states unless the last one is wanted."""
        kept = {self._state_path(job_id, True).name} if keep_state else set()
        for name in self._names(job_id):
            if name.endswith((".state", INPUT_ENDING)) and name not in kept:
                with suppress(FileNotFoundError):
                    os.unlink(self.folder / name)

    def sweep(self, known: Collection[str]) -> None:
        """Remove the files of jobs that nobody knows of any more, and what was never finished."""
        for name in os.listdir(self.folder):
            match = _NAME.fullmatch(name.removeprefix(".").removesuffix(".new"))
            if match is not None and (name.startswith(".") or match[1] not in known):
                with suppress(FileNotFoundError):
                    os.unlink(self.folder / name)

    def close(self) -> None:
        """Let another server have the folder."""
        os.close(self._lock)

    def _state_path(self, job_id: str, begun: bool) -> Path:
        return self.path(job_id, ".state" if begun else ".first.state")

    def _names(self, job_id: str) -> list[str]:
        return [name for name in os.listdir(self.folder) if (match := _NAME.fullmatch(name)) and match[1] == job_id]


def results_folder(url: str | None, output_dir: str) -> Path:
    """The folder that ``openai.results`` names. Raises ConfigValidationError."""
    if url is None:
        return Path(output_dir) / "results"
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path or parts.query:
        raise ConfigValidationError(RESULTS_PATH, f"expected file:/folder on this machine, got {url[:80]!r}")
    return Path(unquote(parts.path))

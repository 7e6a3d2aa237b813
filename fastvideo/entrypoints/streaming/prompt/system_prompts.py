"""What a language model is told to do: texts in files, the operator's before the package's, read again when changed."""

from __future__ import annotations

import logging
from enum import Enum
from pathlib import Path

from fastvideo.resources import prompts_dir

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 65_536


class PromptOperation(Enum):
    """What is done to prompts; the value is also the name of its system prompt's file, without ``.txt``."""

    ENHANCE = "enhance"
    AUTO_EXTEND = "auto_extend"
    REWRITE = "rewrite"


class SystemPrompts:
    """The text for each operation: ``<operation>.txt`` in ``folder``, or the package's own where that is missing or
    blank. A file is looked at whenever its text is wanted, and read when its time or size has changed."""

    def __init__(self, folder: str | Path | None = None) -> None:
        packaged = prompts_dir()
        folders = [packaged] if folder is None else [Path(folder), packaged]
        self._files = {
            operation: [_TextFile(place / f"{operation.value}.txt") for place in folders]
            for operation in PromptOperation
        }
        self.reload()

    def text(self, operation: PromptOperation) -> str:
        """The text in force now."""
        return self._in_force(operation).text

    def reload(self) -> dict[PromptOperation, Path]:
        """Read all files again, whatever their times say; tells which file is in force for what.

        Raises FileNotFoundError when the package's own is gone before it was ever read.
        """
        for files in self._files.values():
            for file in files:
                file.forget_stamp()
        return {operation: self._in_force(operation).path for operation in PromptOperation}

    def _in_force(self, operation: PromptOperation) -> _TextFile:
        for file in self._files[operation]:
            file.refresh()
            if file.text:
                return file
        raise FileNotFoundError(f"the package's prompts/{operation.value}.txt is missing: install fastvideo again")


class _TextFile:
    """A small text file and what it held when it was last read; empty when it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""
        self._stamp: tuple[int, ...] | None = ()

    def forget_stamp(self) -> None:
        self._stamp = ()

    def refresh(self) -> None:
        """Read it if it changed. One that cannot be read keeps its text, and the log says so once per change."""
        stamp = self._current_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        if stamp is None:
            self.text = ""
            return
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
            self.text = data.decode("utf-8-sig").strip()
        except (OSError, ValueError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text of at most 64 KiB"
            logger.warning("system prompt %s is not taken over: %s", self.path, cause)

    def _current_stamp(self) -> tuple[int, ...] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

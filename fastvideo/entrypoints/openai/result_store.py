"""Finished videos in a folder of the HTTP API's kind, for programs that make videos without its jobs."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from fastvideo.api.openai_config import OpenAIConfig
from fastvideo.api.schema import ServeConfig
from fastvideo.entrypoints.openai.job import new_job_id
from fastvideo.entrypoints.openai.results import Results, results_folder


class ResultStore:
    """The folder that ``openai.results`` of a serve file names, for this program alone, in the bounds of ``openai``.

    The oldest results go first: after ``keep_seconds``, and when there are more than ``max_kept`` or ``max_bytes``.
    Raises ConfigValidationError for a folder that is none or that another server uses, and OSError. Thread-safe.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._bounds = config.openai or OpenAIConfig()
        self._results = Results(results_folder(self._bounds.results, config.server.output_dir))
        self._lock = threading.Lock()
        self._trim()

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._results.folder.absolute()

    def put(self, data: bytes) -> str:
        """Keep an MP4 file, whole or not at all; gives its name, which nobody can guess. Raises OSError."""
        path = self._results.path(new_job_id("video"), ".mp4")
        with self._lock:
            self._results.write(path, data)
            self._trim()
        return path.name

    def find(self, name: str) -> Path | None:
        """The file of that name; None when there is none any more, or when it is no name of a result."""
        job_id, dot, ending = name.partition(".")
        try:
            path = self._results.path(job_id, dot + ending)
        except ValueError:
            return None
        return path if ending == "mp4" and path.is_file() else None

    def close(self) -> None:
        """Let another program have the folder; the files stay."""
        self._results.close()

    def _trim(self) -> None:
        now_s, kept_bytes = time.time(), 0
        files = []
        for path in self._results.folder.glob("video_*.mp4"):
            found = path.stat()
            files.append((found.st_mtime, path.name, found.st_size))
        for index, (written_s, name, size_bytes) in enumerate(sorted(files, reverse=True)):
            kept_bytes += size_bytes
            full = index >= self._bounds.max_kept or (index > 0 and kept_bytes > self._bounds.max_bytes)
            if full or written_s + self._bounds.keep_seconds <= now_s:
                os.unlink(self._results.folder / name)

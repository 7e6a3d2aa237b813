"""What the exit codes of ``fastvideo`` mean; docs/cli.md has the same table."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CANNOT_START = 3
    NO_ANSWER = 4
    REFUSED = 5
    INTERRUPTED = 130
    PIPE_CLOSED = 141


def exit_code(error: Exception) -> ExitCode | None:
    """The exit code for an error whose text is a sentence for people; None for one that nobody foresaw."""
    # Imported when something went wrong, so that help and completion start without pydantic.
    from fastvideo.api.errors import FastVideoError
    from fastvideo.entrypoints.streaming.start_failure import StartFailure

    if isinstance(error, StartFailure):
        return ExitCode.CANNOT_START
    if isinstance(error, FastVideoError | ValueError | OSError):
        return ExitCode.FAILED
    return None

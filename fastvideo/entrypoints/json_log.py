"""The log as one JSON object a line, with the session that a line is about where one is known."""

from __future__ import annotations

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

#: The session that the running task, or a thread on its behalf, works for.
session_of_task: ContextVar[str | None] = ContextVar("session_of_task", default=None)


class JsonFormatter(logging.Formatter):
    """A record as ``{"time", "level", "logger", "message"}``, with ``session_id`` and ``exception`` if there are any.
    Whatever a message holds, it stays one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        session_id = session_of_task.get()
        if session_id is not None:
            line["session_id"] = session_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


#: For ``logging.config.dictConfig``: all loggers to standard error, libraries only from warnings on. uvicorn's loggers
#: have no handlers of their own any more.
JSON_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "fastvideo": {"level": "INFO"},
        **{name: {"level": "INFO", "handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.access")},
        "uvicorn.error": {"level": "INFO"},
    },
}


def log_as_json() -> None:
    """Have this process log so from now on, Python's warnings included."""
    logging.config.dictConfig(JSON_LOGGING)
    logging.captureWarnings(True)

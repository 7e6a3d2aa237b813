"""What the log tells of requests."""

from __future__ import annotations

import logging

_LOGGERS = ("uvicorn.access", "uvicorn.error")


class WithoutQueries(logging.Filter):
    """Cuts the query off each path that is logged: people put keys there, although nothing here reads them there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) and part.startswith("/") else part
                for part in record.args
            )
        return True


def hide_queries() -> None:
    """Have uvicorn's loggers leave queries out; twice is the same as once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, WithoutQueries) for one in logger.filters):
            logger.addFilter(WithoutQueries())

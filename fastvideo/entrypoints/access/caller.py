"""Who asks for something, and why somebody gets nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``key``: the name of their API key, None where none are asked for; ``address``: what they are counted
    by; ``admin``: whether they may do what is for operators."""

    key: str | None
    address: str
    admin: bool = False


# Counts as itself, and is no key's.
NOBODY = Caller(None, "unknown")


class AccessRefused(Exception):
    """The answer in place of what was asked for. ``counted_as``: what metrics call it."""

    def __init__(self, status: int, message: str, counted_as: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.counted_as = counted_as

"""What can be wrong with a store itself, rather than with what is asked of it."""

from __future__ import annotations

from typing import ClassVar

from fastvideo.api.errors import FastVideoError


class StoreFull(FastVideoError):
    """A store, or one owner's share of it, is at its bound and holds nothing that has expired."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = True


class StoreUnavailable(FastVideoError):
    """A store's disk or server does not answer, or refuses what a store needs."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = True

"""API keys: 256 random bits, of which the server knows only a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from fastvideo.api.access_config import ApiKeyConfig

PREFIX = "fv_"
_SECRET_BYTES = 32


def new_key() -> str:
    """A key that nobody has."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def key_digest(key: str) -> str:
    """What is kept of a key: its SHA-256 in hexadecimal."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that the server knows. ``digest``: SHA-256 in hexadecimal."""

    name: str
    digest: str
    admin: bool


class KeyRing:
    """The keys of a server. Raises ValueError for two of the same name, or twice the same key."""

    def __init__(self, keys: Iterable[ApiKeyConfig] = (), admin_keys: Iterable[ApiKeyConfig] = ()) -> None:
        self._keys = [
            *(ApiKey(key.name, key.sha256, False) for key in keys),
            *(ApiKey(key.name, key.sha256, True) for key in admin_keys),
        ]
        for what in ("name", "digest"):
            values = [getattr(key, what) for key in self._keys]
            if twice := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"expected keys of different {what}s, got {sorted(twice)[0]!r} twice")

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def has_admin(self) -> bool:
        """Whether any of them is an operator's."""
        return any(key.admin for key in self._keys)

    def find(self, secret: str) -> ApiKey | None:
        """The key of this secret, found in a time that tells nothing about the keys that there are."""
        digest = key_digest(secret)
        found: ApiKey | None = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def named(self, name: str) -> ApiKey | None:
        """The key of this name."""
        return next((key for key in self._keys if key.name == name), None)

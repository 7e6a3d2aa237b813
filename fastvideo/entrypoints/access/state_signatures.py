"""Signatures on continuation states that leave the service, so that it takes back only its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from fastvideo.api.access_config import SnapshotsConfig
from fastvideo.api.errors import StateInvalid
from fastvideo.entrypoints.access.access_control import secret_of

_VERSION = "fvs1"
# Beyond it, not every reader of JSON keeps integers as they are.
_LARGEST_EXACT = 2**53


class StateSignatures:
    """Signs states and checks signatures; blocks for some 10 ms per 10 MB. ``secret``: 32 bytes or more."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError(f"expected a secret of at least 32 bytes, got {len(secret)}")
        # Nothing else that may be signed with the same secret can pass for a state.
        self._key = hmac.digest(secret, b"fastvideo continuation state", hashlib.sha256)

    @classmethod
    def of(cls, config: SnapshotsConfig) -> StateSignatures | None:
        """As configured; None where states go unsigned. Raises ConfigValidationError for a secret that is too short."""
        return cls(secret_of("server.snapshots.secret_env", config.secret_env)) if config.signed else None

    def sign(self, kind: str, payload: dict[str, Any]) -> str:
        """The signature of a state, printable."""
        digest = hmac.digest(self._key, _canonical(kind, payload), hashlib.sha256)
        return f"{_VERSION}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"

    def check(self, kind: str, payload: dict[str, Any], signature: str | None) -> None:
        """Raise StateInvalid unless this service signed the state; which way it is wrong is nobody's business."""
        try:
            expected = self.sign(kind, payload).encode()
        except (RecursionError, ValueError):
            expected = b""
        if not expected or not hmac.compare_digest(expected, (signature or "").encode(errors="replace")):
            raise StateInvalid("continuation_state: expected a snapshot as this service gave it, with its signature")


def _canonical(kind: str, payload: dict[str, Any]) -> bytes:
    """The same bytes for a state that went through other readers and writers of JSON.

    These keep neither the order of keys nor how a number is written: 1.0 comes back as 1.
    """
    plain = [_VERSION, kind, _plain(payload)]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT:
        return int(value)
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a number is too large") from None
    return value

"""Tokens that open a stream for a short time: made for a key, signed, and of no use without it.

Time is an argument, in seconds since 1970, because servers that share a secret honour each other's tokens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

import msgspec

_VERSION = "fvt1"
_FINGERPRINT_CHARS = 16
_MAX_CHARS = 512


class TokenInvalid(Exception):
    """A token that this server, or those that share its secret, did not make; or one that was changed."""


class TokenExpired(Exception):
    """A token whose time is over."""


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    fingerprint: str
    expires_s: int
    nonce: str


@dataclass(frozen=True, slots=True)
class StreamToken:
    """What a token says: whose key it was made for, and the first characters of that key's digest."""

    key_name: str
    fingerprint: str

    def is_of(self, digest: str) -> bool:
        """Whether it was made for the key of this digest, and not for an older one of the same name."""
        return hmac.compare_digest(self.fingerprint, digest[:_FINGERPRINT_CHARS])


class StreamTokens:
    """Makes tokens that hold for ``seconds``, and reads them. ``secret``: 32 bytes or more."""

    def __init__(self, secret: bytes, seconds: float) -> None:
        if len(secret) < 32:
            raise ValueError(f"expected a secret of at least 32 bytes, got {len(secret)}")
        # Nothing else that may be signed with the same secret can pass for a token.
        self._key = hmac.digest(secret, b"fastvideo stream token", hashlib.sha256)
        self.seconds = seconds

    def issue(self, key_name: str, digest: str, now_s: float) -> str:
        """A token for the key of this name and digest."""
        return self._signed(key_name, digest[:_FINGERPRINT_CHARS], now_s)

    def read(self, token: str, now_s: float) -> StreamToken:
        """What a token says. Raises TokenInvalid, TokenExpired."""
        claims = self._claims(token)
        if now_s >= claims.expires_s:
            raise TokenExpired
        return StreamToken(claims.key, claims.fingerprint)

    def renewed(self, token: str, now_s: float) -> str:
        """The same token with a new expiry, however old it is: for whoever goes on with what it opened.

        Raises TokenInvalid.
        """
        claims = self._claims(token)
        return self._signed(claims.key, claims.fingerprint, now_s)

    def _signed(self, key_name: str, fingerprint: str, now_s: float) -> str:
        claims = _Claims(key_name, fingerprint, int(now_s + self.seconds) + 1, secrets.token_urlsafe(9))
        body = f"{_VERSION}.{_encoded(msgspec.json.encode(claims))}"
        return f"{body}.{self._signature(body)}"

    def _claims(self, token: str) -> _Claims:
        body, _, signature = token.rpartition(".")
        if len(token) > _MAX_CHARS or not token.isascii() or not body.startswith(f"{_VERSION}."):
            raise TokenInvalid
        if not hmac.compare_digest(signature, self._signature(body)):
            raise TokenInvalid
        try:
            return msgspec.json.decode(_decoded(body.removeprefix(f"{_VERSION}.")), type=_Claims)
        except (binascii.Error, msgspec.DecodeError):
            raise TokenInvalid from None

    def _signature(self, body: str) -> str:
        return _encoded(hmac.digest(self._key, body.encode(), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

"""What a client shows to go on with its session: the session's id, and a secret that nothing keeps but a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_SECRET_BYTES = 32


def new_token(session_id: str) -> str:
    """``<session's id>.<secret>``; who has it may take the session over."""
    return f"{session_id}.{secrets.token_urlsafe(_SECRET_BYTES)}"


def session_of(token: str) -> str:
    """The id of the session that a token claims to be of."""
    return token.partition(".")[0]


def digest(token: str) -> bytes:
    """What to keep of a token. The secret is random and long, so a plain hash of it tells nothing."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def matches(token: str, kept: bytes) -> bool:
    """Whether it is the token whose digest was kept, found in a time that tells nothing about it."""
    return hmac.compare_digest(digest(token), kept)

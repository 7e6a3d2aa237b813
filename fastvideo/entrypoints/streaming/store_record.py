"""The form of a stored file: a fixed head with length and digest, then the body.

Writes are atomic, so a reader never meets half a record unless a disk loses data; the digest tells then.
"""

from __future__ import annotations

import hashlib
import struct

_MAGIC = b"FVSTORE1"
_HEAD = struct.Struct(">8sQ16s")
HEAD_BYTES = _HEAD.size


class RecordDamaged(ValueError):
    """Bytes that are not one whole record."""


def record_head(body: bytes) -> bytes:
    """What stands before ``body`` in its file, ``HEAD_BYTES`` long."""
    return _HEAD.pack(_MAGIC, len(body), _digest(body))


def check_head(head: bytes, file_bytes: int, max_body_bytes: int) -> int:
    """The body's length in bytes, checked before any of it is read. Raises RecordDamaged."""
    if len(head) != HEAD_BYTES:
        raise RecordDamaged(f"expected a head of {HEAD_BYTES} bytes, found {len(head)}")
    magic, body_bytes, _ = _HEAD.unpack(head)
    if magic != _MAGIC or body_bytes != file_bytes - HEAD_BYTES or body_bytes > max_body_bytes:
        raise RecordDamaged(
            f"expected {_MAGIC!r} and at most {max_body_bytes} bytes of body in a file of {file_bytes}, found {magic!r}"
            f" and {body_bytes}"
        )
    return int(body_bytes)


def check_body(head: bytes, body: bytes) -> None:
    """Raises RecordDamaged unless this is the body that the head was made for."""
    _, body_bytes, digest = _HEAD.unpack(head)
    if len(body) != body_bytes or _digest(body) != digest:
        raise RecordDamaged(f"expected {body_bytes} bytes with the digest of their head, found others")


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()

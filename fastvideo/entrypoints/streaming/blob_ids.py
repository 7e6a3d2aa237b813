"""Ids of blobs: nobody can guess one, and each tells whose it is.

An id is its owner's tag, a dash, and 192 random bits. The tag is a digest, so an id does not give its owner away, and a
store can tell from an id alone that it is not for the one who asks.
"""

from __future__ import annotations

import hashlib
import re
import secrets

_TAG_CHARS = 32
_ID = re.compile(rf"[0-9a-f]{{{_TAG_CHARS}}}-[A-Za-z0-9_-]{{32}}")
UNOWNED_TAG = "0" * _TAG_CHARS


def owner_tag(owner: str | None) -> str:
    """32 hexadecimal digits, the same for each id of this owner."""
    if owner is None:
        return UNOWNED_TAG
    return hashlib.blake2b(owner.encode(errors="surrogatepass"), digest_size=_TAG_CHARS // 2).hexdigest()


def new_blob_id(owner: str | None) -> str:
    """An id that was never given out."""
    return f"{owner_tag(owner)}-{secrets.token_urlsafe(24)}"


def is_blob_id(text: object) -> bool:
    """Whether this could be one of our ids; what could not is never made part of a path or key."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def tag_of(blob_id: str) -> str:
    """The tag of the owner that an id was made for."""
    return blob_id[:_TAG_CHARS]


def may_read(blob_id: object, owner: str | None) -> bool:
    """Whether this is an id of the owner's, or one that was made for nobody in particular."""
    return isinstance(blob_id, str) and is_blob_id(blob_id) and tag_of(blob_id) in (UNOWNED_TAG, owner_tag(owner))

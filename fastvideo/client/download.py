"""A file from a server: written as it comes, and gone on with when the connection breaks."""

from __future__ import annotations

import os
from pathlib import Path

from fastvideo.client.errors import RequestBusy, ServerUnreachable
from fastvideo.client.http_door import HttpDoor
from fastvideo.client.patience import Patience


async def download(door: HttpDoor, path: str, target: str | os.PathLike[str], *, patience_s: float) -> Path:
    """Fetch ``path`` into a file, ``<target>.part`` until it is whole; what is there of that is replaced.

    A connection that breaks is gone on with where it was, unless the server is gone for ``patience_s``.
    Raises OSError, RequestRefused, and ServerUnreachable.
    """
    whole = Path(target)
    part = whole.with_name(whole.name + ".part")
    tag: str | None = None
    patience = Patience(patience_s)
    with part.open("wb") as file:
        while True:
            at = file.tell()
            # A part of a file is a part of what it is, and not of what it is squeezed to.
            headers = {"Accept-Encoding": "identity"}
            if at and tag:
                headers |= {"Range": f"bytes={at}-", "If-Range": tag}
            try:
                async with door.stream("GET", path, headers=headers) as answer:
                    if answer.status_code != 206:
                        file.seek(0)
                        file.truncate()
                    tag = answer.headers.get("etag")
                    with door.reachable():
                        async for data in answer.aiter_raw():
                            file.write(data)
                            patience.heard()
                break
            except (ServerUnreachable, RequestBusy) as error:
                await patience.wait_after(error)
    part.replace(whole)
    return whole

"""Where the server is."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit


def base_url_of(args: argparse.Namespace) -> str:
    """The server's address, without ``/v1``; raises ValueError for one that cannot be used."""
    if args.base_url is None:
        host = f"[{args.host}]" if ":" in args.host else args.host
        return f"http://{host}:{args.port}"
    try:
        parts = urlsplit(args.base_url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError(f"expected --base-url like http://host:8000, got {args.base_url!r}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("expected --base-url without a user, a query or a fragment; keys go into FASTVIDEO_API_KEY")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def stream_url_of(base_url: str) -> str:
    """The address of its live streams."""
    return f"ws{base_url.removeprefix('http')}/v1/stream"

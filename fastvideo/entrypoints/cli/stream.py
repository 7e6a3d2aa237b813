"""``fastvideo stream``: a live stream from a server into a file, steered by what is typed meanwhile."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand

DEFAULT_URL = "ws://127.0.0.1:8000/v1/stream"
_MIMES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


class StreamSubcommand(CLISubcommand):
    """Sends prompts to a server, and keeps what comes back as one MP4 with sound."""

    name = "stream"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="stream from a server into a file, and steer it by typing",
            description="Send prompts to a server, and keep the stream as one MP4 with sound, which players open while "
            "it grows (as FILE.part). A connection that breaks is made again, and nothing is lost or doubled.",
            epilog="While it runs, type prompts, each with Enter; /cancel drops the running segment, /pause holds "
            "generation until /go, /stop or Ctrl-D ends. PROMPT - reads prompts from a pipe.",
        )
        parser.add_argument("prompt", nargs="*", metavar="PROMPT", help="what to show, one segment each; - for a pipe")
        parser.add_argument("--url", default=DEFAULT_URL, help=f"the server (default: {DEFAULT_URL})")
        parser.add_argument("--output", default="stream.mp4", metavar="FILE", help="default: stream.mp4")
        parser.add_argument("--segments", type=int, metavar="N", help="end after N segments")
        parser.add_argument("--extend", action="store_true", help="let the server go on by itself between prompts")
        parser.add_argument("--enhance", action="store_true", help="let the server's language model enrich prompts")
        parser.add_argument("--image", metavar="FILE", help="the first picture, .png, .jpg or .webp")
        parser.add_argument("--preset", metavar="NAME", help="a preset that the server knows")
        parser.add_argument(
            "--api-key-file", metavar="FILE", help="a file with the API key (default: FASTVIDEO_API_KEY, if it is set)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per event, and no status")
        return parser

    def validate(self, args: argparse.Namespace) -> None:
        if args.segments is not None and args.segments < 1:
            raise ValueError(f"expected --segments of at least 1, got {args.segments}")
        if Path(args.output).exists():
            raise ValueError(f"{args.output} is there already; choose another --output")
        if args.prompt.count("-") and len(args.prompt) > 1:
            raise ValueError("expected either - or prompts, got both")

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.entrypoints.cli.stream_run import StreamRun
        from fastvideo.entrypoints.streaming.protocol import SessionInitV2

        opening = SessionInitV2(
            client_id="fastvideo stream",
            preset=args.preset,
            initial_image=None if args.image is None else initial_image(Path(args.image)),
            auto_extension_enabled=args.extend,
            enhancement_enabled=args.enhance,
        )
        run = StreamRun(
            stream_url(args.url),
            opening,
            output=Path(args.output),
            prompts=[prompt for prompt in args.prompt if prompt != "-"],
            segments_wanted=args.segments,
            reads_pipe=not args.prompt or args.prompt == ["-"],
            api_key=None if args.api_key_file is None else read_key(Path(args.api_key_file)),
            json_lines=args.json,
        )
        return run.run()


def stream_url(url: str) -> str:
    """The address of the stream at a server's address, whether it is given as http(s) or ws(s)."""
    from urllib.parse import urlsplit

    parts = urlsplit(url if "//" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"expected --url such as {DEFAULT_URL} or http://127.0.0.1:8000, got {url!r}")
    path = parts.path if parts.path not in ("", "/") else "/v1/stream"
    return parts._replace(scheme=scheme, path=path).geturl()


def initial_image(path: Path) -> dict[str, Any]:
    """The first picture as an opening message carries it."""
    mime = _MIMES.get(path.suffix.lower())
    if mime is None:
        raise ValueError(f"expected --image to be a {', '.join(_MIMES)} file, got {path.name!r}")
    return {"mime": mime, "name": path.name, "data": base64.b64encode(path.read_bytes()).decode()}


def read_key(path: Path) -> str:
    """The API key in a file. Raises ValueError, which never has the key in it."""
    key = path.read_text(encoding="utf-8").strip()
    if not key or len(key.split()) > 1:
        raise ValueError(f"expected {path} to hold an API key and nothing else")
    return key

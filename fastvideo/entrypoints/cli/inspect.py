"""``fastvideo inspect FILE``: what a checkpoint, a latent upsampler or a LoRA is; a folder of diffusers is one too."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvideo.entrypoints.cli.cli_types import CLISubcommand

if TYPE_CHECKING:
    from fastvideo.models.ltx2.inspection import Inspection


class InspectSubcommand(CLISubcommand):
    """Reads the header only, so that a file of 46 GB is told in a moment."""

    name = "inspect"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="tell what a .safetensors file is",
            description="Tell what a .safetensors file of the LTX-2 family is: version, parts, types and sizes.",
        )
        parser.add_argument(
            "file", metavar="FILE", help="a checkpoint (a folder of diffusers is one too), a latent upsampler or a LoRA"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.models.ltx2.inspection import inspect_file

        found = inspect_file(Path(args.file).expanduser())
        print(json.dumps(asdict(found), indent=2) if args.json else described(found))
        return 0


def described(found: Inspection) -> str:
    """The lines that people read."""
    total = sum(part.nbytes for part in found.parts)
    version = f", version {found.version}" if found.version else ", which does not say its version"
    lines = [f"{found.path}: LTX-2 {found.kind}{version}, {_size(total)}"]
    width = max(len(part.name) for part in found.parts)
    for part in found.parts:
        types = ", ".join(f"{count} {dtype}" for dtype, count in part.dtypes.items())
        lines.append(f"  {part.name:{width}}  {_count(part.values):>8} values  {_size(part.nbytes):>10}  {types}")
    if found.quantised_layers:
        lines.append(f"  {found.quantised_layers} layers are in fp8 with a scale each")
    return "\n".join([*lines, *(f"  {note}" for note in found.notes)])


def _size(nbytes: int) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if nbytes >= scale:
            return f"{nbytes / scale:.2f} {unit}"
    return f"{nbytes / 1024:.1f} KiB"


def _count(values: int) -> str:
    for unit, scale in (("B", 10**9), ("M", 10**6)):
        if values >= scale:
            return f"{values / scale:.2f} {unit}"
    return str(values)

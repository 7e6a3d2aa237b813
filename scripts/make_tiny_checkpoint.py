#!/usr/bin/env python3
"""Write a small random LTX-2 checkpoint in the official single-file layout, with its Gemma 3 and tokenizer."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from fastvideo.models.ltx2.tiny_metadata import TINY_VERSIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write it; made when it is not there")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same tensors (default 0)")
    parser.add_argument("--version", choices=TINY_VERSIONS, default=TINY_VERSIONS[0], help="shape of the model")
    arguments = parser.parse_args()
    print(write_tiny_checkpoint(arguments.folder, seed=arguments.seed, version=arguments.version))


if __name__ == "__main__":
    main()

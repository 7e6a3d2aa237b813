"""Resolve the versions that containers install, with the hashes of their files, into requirements.lock.

Versions are those of constraints.txt. torch is left out, with what its build for GPUs brings: which build is right
depends on the machine, and its files come from another index. The software bill of materials is written anew as well.
"""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain

from scripts import sbom
from scripts.runtime_closure import EXTRAS, ROOT, comes_with_torch

LOCK = ROOT / "requirements.lock"
_HEADER = """\
# Written by scripts/lock: every package of fastvideo[{extras}] but torch, for Linux on x86_64 and Python 3.11.
# Install torch first (see constraints.txt), then: pip install --require-hashes --no-deps -r requirements.lock
"""
_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^ ;\\\n]+)[^\n]*\n(?:    --hash=[^\n]*\n?)*", re.MULTILINE
)


def entries(text: str) -> dict[str, tuple[str, str]]:
    """The version and the whole text of each package of a lock file, by name."""
    return {found["name"]: (found["version"], found[0]) for found in _ENTRY.finditer(text)}


def resolve() -> str:
    """The lock file's text. Raises CalledProcessError when there is no solution or no index to ask."""
    options = ["--python-platform", "x86_64-manylinux_2_28", "--python-version", "3.11", "--generate-hashes"]
    extras = chain.from_iterable(("--extra", extra) for extra in EXTRAS)
    shown = ["--no-header", "--no-annotate", "--quiet", "--no-emit-package", "torch"]
    command = [sys.executable, "-m", "uv", "pip", "compile", *options, *extras, *shown]
    command += ["-c", "constraints.txt", "pyproject.toml"]
    text = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    kept = [entry for name, (_, entry) in entries(text).items() if not comes_with_torch(name)]
    return _HEADER.format(extras=",".join(EXTRAS)) + "".join(entry.rstrip("\n") + "\n" for entry in kept)


def main() -> int:
    LOCK.write_text(resolve(), encoding="utf-8")
    sbom.FILE.write_text(sbom.bill(), encoding="utf-8")
    print(f"{LOCK.name}: {len(entries(LOCK.read_text(encoding='utf-8')))} packages; {sbom.FILE.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())

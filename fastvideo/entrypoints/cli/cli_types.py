"""What a subcommand of ``fastvideo`` is."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class CLISubcommand(ABC):
    """One subcommand. Heavy imports happen in ``cmd``, so that ``--help`` stays quick."""

    name: str
    takes_overrides = False

    @abstractmethod
    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        """Add this command's parser."""

    @abstractmethod
    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        """Run; gives the exit code."""

    def validate(self, args: argparse.Namespace) -> None:
        """Check arguments that argparse cannot. Raises ValueError."""
        return

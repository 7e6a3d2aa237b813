"""What the first rank of a sequence-parallel model tells the others: JSON, one document a line, over a socket pair."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Message = dict[str, Any]

_DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.bfloat16, torch.float16)}


class RankLink:
    """One end of it. What is said arrives in order; that nobody is at the other end any more shows at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one document. Raises OSError when the other end is gone."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def hear(self, timeout_s: float | None = None) -> Message | None:
        """The next document; None when the other end is gone. Raises TimeoutError after ``timeout_s``."""
        self._connection.settimeout(timeout_s)
        try:
            line = self._lines.readline()
        except ConnectionError:
            return None
        finally:
            self._connection.settimeout(None)
        # A line without an end was cut off.
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """The other end hears that this one is gone."""
        self._lines.close()
        self._connection.close()


def described(tensor: Tensor) -> list[Any]:
    """A tensor's type and shape, for a message."""
    return [str(tensor.dtype), list(tensor.shape)]


def empty(description: list[Any], device: torch.device) -> Tensor:
    """A tensor to receive what was :func:`described`."""
    name, shape = description
    return torch.empty(shape, dtype=_DTYPES[name], device=device)

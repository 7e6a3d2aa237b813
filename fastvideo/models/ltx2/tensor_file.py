"""An open safetensors file, and the strict loading of modules from it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.tensor_header import TensorHeader, weight_scale_key

_FLOAT_DTYPES = ("F32", "F16", "BF16")


class TensorFile:
    """Tensors are read one by one through a memory map, so loading needs no second copy of the weights."""

    def __init__(self, header: TensorHeader, tensors: Any) -> None:
        self.header = header
        self.path = header.path
        # Scales travel with their weights.
        self.keys = [key for key in header.tensors if key not in header.scales]
        self._tensors = tensors

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[TensorFile]:
        """The file at ``path``. Raises CheckpointError for one that cannot be read."""
        header = TensorHeader.read(path)
        try:
            file = safe_open(str(path), framework="pt")
        except (SafetensorError, OSError, struct.error) as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
        with file as tensors:
            yield cls(header, tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        """Of the tensor ``key``."""
        return self.header.tensors[key].shape

    def tensor(self, key: str, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> Tensor:
        """The tensor, a copy, in its own type where none is given, and dequantised where the file has it in fp8.

        Raises CheckpointError for types that are neither.
        """
        found = self.header.tensors[key].dtype
        if key in self.header.quantised:
            scale = self._tensors.get_tensor(weight_scale_key(key)).to(device)
            wide: Tensor = self._tensors.get_tensor(key).to(device=device, dtype=torch.float32) * scale
            return wide.to(dtype or torch.float32)
        if found not in _FLOAT_DTYPES:
            raise CheckpointError(
                f"{self.path}: {key} is {found}, expected {', '.join(_FLOAT_DTYPES)} or F8_E4M3 with a scale; "
                "use the bf16 or the fp8 file"
            )
        # A copy: what came through the map would change with the file.
        copied: Tensor = self._tensors.get_tensor(key).to(device=device, dtype=dtype, copy=True)
        return copied

    def check_names(self, *, missing: Sequence[str], unknown: Sequence[str]) -> None:
        """Raise CheckpointError with the first names when there are any."""
        check_names(self.path, missing=missing, unknown=unknown)

    def fill(
        self, module: nn.Module, names: Mapping[str, str], *, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        """Give ``module`` the tensors of the file, ``names`` from its own names to the file's, ready for inference."""
        load_tensors(module, names, lambda _: self, device=device, dtype=dtype)


def check_names(path: Path, *, missing: Sequence[str], unknown: Sequence[str]) -> None:
    """Raise CheckpointError with ``path`` and the first names when there are any."""
    for what, names in (("missing", missing), ("unknown", sorted(unknown))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(f"{path}: {what} tensors: {', '.join(names[:3])}{more}")


def load_tensors(
    module: nn.Module,
    names: Mapping[str, str],
    file_of: Callable[[str], TensorFile],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
) -> None:
    """Give ``module`` its tensors, ``names`` from its own names to the files', ready for inference."""
    state: dict[str, Tensor] = {}
    for name, place in module.state_dict().items():
        key = names[name]
        file = file_of(key)
        if file.shape(key) != tuple(place.shape):
            raise CheckpointError(f"{file.path}: {key} has shape {list(file.shape(key))}, expected {list(place.shape)}")
        state[name] = file.tensor(key, device=device, dtype=dtype)
    module.load_state_dict(state, strict=True, assign=True)
    module.to(device).eval().requires_grad_(False)

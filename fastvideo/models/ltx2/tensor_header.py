"""What a safetensors file says about its tensors: names, types and sizes, without reading them and without torch."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from fastvideo.api.errors import CheckpointError

# The only quantised type of the official files; such a weight W lies beside W_scale (W = stored value * W_scale) and an
# input_scale for kernels that quantise activations too, both of one value.
QUANTISED_DTYPE = "F8_E4M3"

_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4}
_BITS |= {"U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64}


@dataclass(frozen=True)
class TensorInfo:
    """Type, as safetensors writes it (``BF16``), and shape of one tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.count * _BITS.get(self.dtype, 8) // 8


@dataclass(frozen=True)
class TensorHeader:
    """A file's metadata, and its tensors by name. ``quantised`` are the weights in fp8, ``scales`` what belongs to
    them; which layers are quantised differs from file to file and stands nowhere else."""

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]
    quantised: frozenset[str]
    scales: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> TensorHeader:
        """Raises CheckpointError for a file that is not there, damaged or of another kind, and for a quantised weight
        without its scale."""
        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = dict(file.metadata() or {})
                slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # no mapping
                tensors = {key: TensorInfo(s.get_dtype(), tuple(s.get_shape())) for key, s in slices.items()}
        except (SafetensorError, OSError, struct.error) as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
        quantised = frozenset(
            key for key, info in tensors.items() if info.dtype == QUANTISED_DTYPE and key.endswith(".weight")
        )
        for weight in sorted(quantised):
            scale = tensors.get(weight_scale_key(weight))
            if scale is None or scale.dtype != "F32" or scale.count != 1:
                raise CheckpointError(
                    f"{path}: {weight} is {QUANTISED_DTYPE} and needs {weight_scale_key(weight)}, one F32 value, as in "
                    "the official fp8 files; use one of those, or the bf16 file"
                )
        scales = {key for weight in quantised for key in (weight_scale_key(weight), _input_scale_key(weight))}
        return cls(path, metadata, tensors, quantised, frozenset(scales & tensors.keys()))

    @property
    def nbytes(self) -> int:
        """Size of all tensors in the file."""
        return sum(info.nbytes for info in self.tensors.values())


def weight_scale_key(weight: str) -> str:
    """The name of a quantised weight's scale."""
    return f"{weight}_scale"


def _input_scale_key(weight: str) -> str:
    return f"{weight.removesuffix('weight')}input_scale"

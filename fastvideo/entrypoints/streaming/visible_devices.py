"""Which accelerators this process may use, and which of them each worker gets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastvideo.api.errors import ConfigValidationError

VARIABLE = "CUDA_VISIBLE_DEVICES"
_DEVICE_FILE = re.compile(r"nvidia\d+")


def visible_devices(environ: Mapping[str, str] = os.environ, device_folder: Path = Path("/dev")) -> tuple[str, ...]:
    """The names of the visible GPUs as CUDA takes them: indexes, or the UUIDs that the parent's variable lists."""
    present = sum(1 for path in device_folder.glob("nvidia*") if _DEVICE_FILE.fullmatch(path.name))
    listed = environ.get(VARIABLE)
    if listed is None or not present:
        return tuple(str(index) for index in range(present))
    devices: list[str] = []
    for name in (item.strip() for item in listed.split(",")):
        # CUDA ignores everything after the first name that is no device.
        if not name or (not name.startswith(("GPU-", "MIG-")) and not (name.isdecimal() and int(name) < present)):
            break
        devices.append(name)
    return tuple(devices)


def worker_devices(
    devices: Sequence[str], *, num_workers: int | None, gpus_per_worker: int = 1
) -> list[tuple[str, ...]]:
    """The devices of each worker, in order, each device once; without any, workers share the CPU.

    ``num_workers`` None means as many as the devices allow, and one on the CPU. Raises ConfigValidationError when there
    are too few.
    """
    if not devices:
        return [()] * (num_workers or 1)
    fit = len(devices) // gpus_per_worker
    wanted = num_workers or max(1, fit)
    if wanted > fit:
        raise ConfigValidationError(
            "streaming.pool.num_workers",
            f"expected at most {fit}: {wanted} x {gpus_per_worker} GPUs are asked for, and {len(devices)} are visible",
        )
    return [tuple(devices[index * gpus_per_worker :][:gpus_per_worker]) for index in range(wanted)]

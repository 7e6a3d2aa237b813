"""Over how many processes a model is spread."""

from __future__ import annotations

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.schema import GeneratorConfig


def sequence_size(config: GeneratorConfig) -> int:
    """Over how many ranks, and GPUs where there are any, the model is spread.

    Raises ConfigValidationError for sizes that contradict each other, and for more than there are GPUs.
    """
    engine = config.engine
    count, own = engine.num_gpus, engine.parallelism.sp_size
    if count < 1:
        raise ConfigValidationError("engine.num_gpus", f"expected at least 1, got {count}")
    if own not in (-1, count):
        raise ConfigValidationError(
            "engine.parallelism.sp_size",
            f"expected -1 or engine.num_gpus, which is {count}, got {own}: all GPUs of a model share its sequence",
        )
    timeout = engine.parallelism.dist_timeout
    if timeout is not None and timeout < 1:
        raise ConfigValidationError("engine.parallelism.dist_timeout", f"expected seconds, at least 1, got {timeout}")
    compiling = engine.compile
    if (
        count > 1
        and compiling.enabled
        and (compiling.dit_kwargs or {"fullgraph": compiling.fullgraph}).get("fullgraph")
    ):
        raise ConfigValidationError(
            "engine.compile.fullgraph",
            f"expected false or null with engine.num_gpus of {count}: what the GPUs exchange is no part of a graph",
        )
    return count

"""The prompts of one run, shared out among processes with a GPU each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from fastvideo.api.schema import RunConfig
from fastvideo.entrypoints.cli.generation_run import NumberedRequest
from fastvideo.entrypoints.cli.inference_config import parse_run
from fastvideo.entrypoints.cli.utils import launch_distributed
from fastvideo.entrypoints.prompt_expansion import expand_prompts
from fastvideo.entrypoints.streaming.visible_devices import VARIABLE, visible_devices


def run_in_processes(raw: Mapping[str, Any], processes: int, *, json_lines: bool) -> int:
    """Run ``generate`` with this run config in so many processes, at most one per prompt; gives the exit code.

    Raises ValueError for more processes than GPUs, where there are any.
    """
    config, devices = parse_run(raw), visible_devices()
    fit = len(devices) // config.generator.engine.num_gpus
    if devices and processes > fit:
        raise ValueError(
            f"expected --processes of at most {fit}, with generator.engine.num_gpus GPUs each of the {len(devices)} "
            f"that are visible, got {processes}"
        )
    prompts = expand_prompts(config.request)
    with tempfile.TemporaryDirectory(prefix="fastvideo-run-") as folder:
        file = Path(folder) / "run.json"
        file.write_text(json.dumps(raw), encoding="utf-8")
        words = ["generate", "--config", str(file), *(["--json"] if json_lines else [])]
        return launch_distributed(min(processes, len(prompts or [None])), words)


def take_own_share(config: RunConfig, environment: MutableMapping[str, str]) -> list[NumberedRequest]:
    """The request for each video that this process makes: all of them, or under torchrun every WORLD_SIZE-th, on GPUs
    of its own, which are noted in ``environment``."""
    singles = expand_prompts(config.request) or [config.request]
    rank, world = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
    numbered = [NumberedRequest(index, len(singles), single) for index, single in enumerate(singles)]
    if world > 1:
        count = config.generator.engine.num_gpus
        first = int(environment.get("LOCAL_RANK", rank)) * count
        own = visible_devices(environment)[first : first + count]
        if own:
            environment[VARIABLE] = ",".join(own)
    return numbered[rank::world]

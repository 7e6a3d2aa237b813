"""The worker's arguments, and the generator and the server settings that they and a serve file describe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastvideo.api import (
    CompileConfig,
    ComponentConfig,
    EngineConfig,
    GeneratorConfig,
    OffloadConfig,
    ParallelismConfig,
    PipelineSelection,
    RequestLimits,
    ServeConfig,
    load_serve_config,
)

DEFAULT_ENDPOINT = "fastvideo.backend.generate"


@dataclass(frozen=True)
class Arguments:
    """``serve``: generator, operator's defaults, and where results lie; ``endpoint``: namespace.component.endpoint;
    ``results_address``: host and port on which this worker gives out results; ``results_url``: what stands before a
    result's name in answers."""

    serve: ServeConfig
    model: str
    endpoint: str
    results_address: tuple[str, int]
    results_url: str
    max_waiting: int

    @property
    def limits(self) -> RequestLimits:
        """What one request may ask for."""
        return RequestLimits() if self.serve.streaming is None else self.serve.streaming.limits

    @property
    def frontend_endpoint(self) -> str:
        """Beside ``endpoint``, for Dynamo's HTTP frontend."""
        namespace, component, name = self.endpoint.split(".")
        return f"{namespace}.{component}.{name}_frontend"


def parse_args(arguments: Sequence[str] | None = None) -> Arguments:
    """From a command line; it exits with 2 for a wrong one. Raises ConfigValidationError, FileNotFoundError."""
    parser = argparse.ArgumentParser(prog="python -m fastvideo_dynamo", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", help="a serve file: generator, default_request, openai.results, streaming.limits")
    source.add_argument("--model-path", help="embedded:, or a local checkpoint; the flags below are for this one")
    parser.add_argument("--num-gpus", type=int)
    parser.add_argument("--tp-size", type=int)
    parser.add_argument("--sp-size", type=int)
    for name in ("dit-cpu-offload", "text-encoder-cpu-offload", "enable-torch-compile"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction)
    parser.add_argument("--torch-compile-mode")
    parser.add_argument("--workload-type", default="t2v")
    parser.add_argument("--preset")
    parser.add_argument("--upsampler-path")
    parser.add_argument("--lora-path")
    parser.add_argument("--model-name", default="fastvideo", help="what clients call the model")
    parser.add_argument("--endpoint", default=DEFAULT_ENDPOINT, help="namespace.component.endpoint")
    parser.add_argument("--results-address", default="127.0.0.1:8090", help="host:port; gives out results by URL")
    parser.add_argument("--results-url", help="what stands before a result's name; default: http://RESULTS_ADDRESS")
    parser.add_argument("--max-waiting", type=int, default=16, help="requests behind the one that is made")
    found = parser.parse_args(arguments)
    if found.endpoint.count(".") != 2 or not all(found.endpoint.split(".")):
        parser.error(f"--endpoint: expected namespace.component.endpoint, got {found.endpoint!r}")
    host, colon, port = found.results_address.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        parser.error(f"--results-address: expected host:port, got {found.results_address!r}")
    serve = ServeConfig(build_generator_config(found)) if found.config is None else load_serve_config(found.config)
    results_url = f"http://{found.results_address}" if found.results_url is None else found.results_url.rstrip("/")
    return Arguments(serve, found.model_name, found.endpoint, (host, int(port)), results_url, found.max_waiting)


def build_generator_config(flags: argparse.Namespace) -> GeneratorConfig:
    """A typed configuration from flags; one that is None leaves the documented default."""
    return GeneratorConfig(
        model_path=flags.model_path,
        engine=EngineConfig(
            **_given(num_gpus=flags.num_gpus),
            parallelism=ParallelismConfig(**_given(tp_size=flags.tp_size, sp_size=flags.sp_size)),
            offload=OffloadConfig(**_given(dit=flags.dit_cpu_offload, text_encoder=flags.text_encoder_cpu_offload)),
            compile=CompileConfig(**_given(enabled=flags.enable_torch_compile, mode=flags.torch_compile_mode)),
        ),
        pipeline=PipelineSelection(
            workload_type=flags.workload_type,
            **_given(preset=flags.preset),
            components=ComponentConfig(**_given(upsampler_weights=flags.upsampler_path, lora_path=flags.lora_path)),
        ),
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

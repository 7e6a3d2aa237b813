"""Everything that is wrong with a config file, found without loading a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

from fastvideo.api.errors import CheckpointError, ConfigValidationError
from fastvideo.api.limits import RequestLimits, request_faults
from fastvideo.api.parser import config_faults, config_schema, parse_config
from fastvideo.api.precedence import resolve_request
from fastvideo.api.schema import GenerationRequest, GeneratorConfig, RunConfig, ServeConfig, StreamingConfig
from fastvideo.api.support import serve_config_faults, unsupported
from fastvideo.entrypoints.access.access_control import AccessControl
from fastvideo.entrypoints.cli.inference_config import RUN_SECTIONS, parse_run
from fastvideo.entrypoints.model_path import generator_defaults
from fastvideo.entrypoints.openai.results import check_results_url
from fastvideo.entrypoints.prompt_expansion import expand_prompts
from fastvideo.entrypoints.streaming.prompt.building import endpoints_of
from fastvideo.entrypoints.streaming.router.config import RouterFile, router_file_faults
from fastvideo.entrypoints.streaming.store_urls import BLOBS_PATH, SESSIONS_PATH, check_store_url
from fastvideo.pipelines.basic.ltx2.support import GENERATOR_REASONS, REQUEST_REASONS, check_generator_config

Kind = Literal["serve", "generate", "router-serve"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TYPES: Mapping[Kind, type[Any]] = {"serve": ServeConfig, "generate": RunConfig, "router-serve": RouterFile}


def kind_of(raw: Mapping[str, Any]) -> Kind:
    """Which command a config file is for, by the keys at its top."""
    if "router" in raw:
        return "router-serve"
    return "generate" if "request" in raw and not set(raw) - set(RUN_SECTIONS) else "serve"


def schema_of(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of the files of a command."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | config_schema(_TYPES[kind])


def faults_of(raw: Mapping[str, Any], kind: Kind, *, files: bool = True) -> list[ConfigValidationError]:
    """Every fault of a config file's mapping. ``files``: look whether the files are there that it names."""
    if kind == "router-serve":
        return router_file_faults(raw)
    faults = config_faults(_TYPES[kind], raw)
    if not faults:
        if kind == "serve":
            config = parse_config(ServeConfig, raw)
            faults += (*serve_config_faults(config), *_service_faults(config, files))
        else:
            faults += _run_faults(raw, files)
    generator = raw.get("generator")
    if isinstance(generator, Mapping) and not config_faults(GeneratorConfig, generator):
        faults += _generator_faults(parse_config(GeneratorConfig, generator), kind, files)
    return faults


def _service_faults(config: ServeConfig, files: bool) -> Iterator[ConfigValidationError]:
    """What the server's parts would say at its start, without what they look for on this machine."""
    streaming = config.streaming or StreamingConfig()
    checks: list[Callable[[], object]] = [
        lambda: check_store_url(streaming.stores.sessions, SESSIONS_PATH),
        lambda: check_store_url(streaming.stores.blobs, BLOBS_PATH),
        lambda: endpoints_of(streaming.prompt),
        lambda: check_results_url(config.openai.results if config.openai else None),
    ]
    if files:
        # It reads its file of keys, and secrets in the environment.
        checks.append(lambda: AccessControl(config.server.auth))
    for check in checks:
        try:
            check()
        except ConfigValidationError as error:
            yield error


def _run_faults(raw: Mapping[str, Any], files: bool) -> Iterator[ConfigValidationError]:
    try:
        request = parse_run(raw).request
    except ConfigValidationError as error:
        yield error
        return
    # Without the preset's values, which a model has to be there for: those of the file alone can be wrong.
    limits = request_faults(resolve_request(request), RequestLimits())
    for fault in (*limits, *unsupported(request, GenerationRequest(), REQUEST_REASONS)):
        yield ConfigValidationError(f"request.{fault.path}", fault.message)
    if files:
        try:
            expand_prompts(request)
        except ConfigValidationError as error:
            yield ConfigValidationError(f"request.{error.path}", error.message)
        except OSError as error:
            yield ConfigValidationError("request.inputs.prompt_path", f"cannot be read: {error}")


def _generator_faults(config: GeneratorConfig, kind: Kind, files: bool) -> Iterator[ConfigValidationError]:
    if kind == "generate" and config.model_path.startswith("mock:"):
        yield ConfigValidationError("generator.model_path", "mock: paints for servers alone and has no model")
        return
    told: list[ConfigValidationError] = []
    if not config.model_path.startswith("mock:"):
        told = list(unsupported(config, GeneratorConfig(model_path=config.model_path), GENERATOR_REASONS))
    if not told:
        try:
            if files:
                generator_defaults(config, shown=kind == "serve")
            elif not config.model_path.startswith("mock:"):
                check_generator_config(config)
        except ConfigValidationError as error:
            told = [error]
        except CheckpointError as error:
            told = [ConfigValidationError("model_path", str(error))]
    for fault in told:
        path = fault.path if fault.path.startswith("generator.") else f"generator.{fault.path}"
        yield ConfigValidationError(path, fault.message)

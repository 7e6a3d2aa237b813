"""The parts of the server that runs in this process, for code that is not handed them: plug-ins, and consoles."""

from __future__ import annotations

from pathlib import Path

from fastvideo.api.schema import GenerationRequest, ServeConfig
from fastvideo.entrypoints.openai.door import OpenAIDoor
from fastvideo.entrypoints.streaming.pool_base import GpuPool

_open: list[OpenAIDoor] = []


def set_state(door: OpenAIDoor) -> None:
    """The server's API is open."""
    _open.append(door)


def clear_state(door: OpenAIDoor) -> None:
    """It is closed; no error when it was never open."""
    if door in _open:
        _open.remove(door)


def get_generator() -> GpuPool:
    """What generates: the workers. Raises RuntimeError before a server has started, like the others here."""
    return _newest().server.pool


def get_server_args() -> ServeConfig:
    """What the server was started with."""
    return _newest().server.serve_config


def get_output_dir() -> Path:
    """Where results lie."""
    return _newest().results.folder


def get_default_request() -> GenerationRequest:
    """What a request gets where its client says nothing."""
    return _newest().server.serve_config.default_request


def _newest() -> OpenAIDoor:
    if not _open:
        raise RuntimeError("no server with the OpenAI-style API runs in this process; start one first")
    return _open[-1]

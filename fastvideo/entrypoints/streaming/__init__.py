"""The streaming service: sessions over a WebSocket, segments from a pool of generators.

Names are imported when they are used, so that this package costs nothing until then.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "BlobStore": "session_store",
    "FragmentedMP4Chunk": "stream",
    "FragmentedMP4Encoder": "stream",
    "GpuPool": "gpu_pool",
    "InMemoryBlobStore": "session_store",
    "InMemorySessionStore": "session_store",
    "InProcessGpuPool": "gpu_pool",
    "LLMProvider": "prompt.providers",
    "MockGenerator": "mock_server",
    "PoolAcquireTimeout": "gpu_pool",
    "PromptEnhancer": "prompt.enhancer",
    "PromptSafetyFilter": "prompt.safety",
    "SafetyDecision": "prompt.safety",
    "Session": "session",
    "SessionLogEvent": "session_logger",
    "SessionLogger": "session_logger",
    "SessionManager": "session",
    "SessionState": "session",
    "SessionStore": "session_store",
    "SubprocessGpuPool": "gpu_pool",
    "build_app": "server",
    "build_health_router": "health",
    "build_mock_app": "mock_server",
    "get_pool_status": "health",
    "run_server": "server",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

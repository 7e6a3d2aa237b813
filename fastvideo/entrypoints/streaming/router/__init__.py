"""One address for several servers: sessions are spread over replicas, and stay where they are.

Names are imported when they are used, so that configs can be read without a web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "HttpProbe": "health_checks",
    "Replica": "registry",
    "ReplicaEndpoint": "config",
    "ReplicaHealth": "registry",
    "ReplicaRegistry": "registry",
    "ReplicaStatus": "registry",
    "RouterConfig": "config",
    "build_router_app": "main",
    "load_router_config": "config",
    "parse_router_config": "config",
    "run_health_check_loop": "health_checks",
    "run_router": "process",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

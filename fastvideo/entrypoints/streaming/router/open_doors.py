"""The warning of a router that other machines can reach while a replica behind it asks nobody for a key."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import httpx

from fastvideo.entrypoints.streaming.router.http_proxy import build_http_client
from fastvideo.entrypoints.streaming.router.registry import Replica
from fastvideo.entrypoints.streaming.router.state import RouterState

# How long it takes at most to notice that a replica lives, or lives again.
_LOOK_S = 1.0


def open_behind_router(host: str, port: int, replica: str) -> str:
    """The warning, for the operator."""
    return (
        f"WARNING: anybody who can reach {host}, port {port} may stream from replica {replica}: it asks for no keys.\n"
        "WARNING: set router.host to 127.0.0.1, or make keys with 'fastvideo keys new' and set server.auth of replicas."
    )


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


async def watch_open_doors(router: RouterState, host: str, port: int, say: Callable[[str], None] = _say) -> None:
    """Ask each replica once it is healthy, and again each time that it has become so, whether it asks for keys; warn of
    each that does not. Until it is cancelled."""
    asked: set[Replica] = set()
    async with build_http_client(router.replica_ca_file) as client:
        while True:
            healthy = [replica for replica in router.registry.all() if replica.is_healthy]
            asked.intersection_update(healthy)
            for replica in healthy:
                if replica in asked:
                    continue
                required = await _keys_required(client, replica, router.config.health_check_timeout_seconds)
                if required is not None:
                    asked.add(replica)
                if required is False:
                    say(open_behind_router(host, port, replica.endpoint.label))
            await asyncio.sleep(_LOOK_S)


async def _keys_required(client: httpx.AsyncClient, replica: Replica, timeout_s: float) -> bool | None:
    """What a replica says of itself; None when it did not answer."""
    try:
        # By a name that every server goes by.
        answer = await client.get(f"{replica.url}/v1/info", headers={"host": "localhost"}, timeout=timeout_s)
        info: Any = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    except ValueError:
        # Not a server of ours: what it asks for is not known, and need not be asked again.
        return True
    features = info.get("features") if isinstance(info, dict) else None
    return not isinstance(features, dict) or features.get("keys_required") is not False

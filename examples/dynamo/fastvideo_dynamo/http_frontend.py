"""``python -m fastvideo_dynamo.http_frontend [HOST:PORT]``: Dynamo's HTTP frontend, from its runtime package alone."""

from __future__ import annotations

import asyncio
import os
import sys

from dynamo.llm import EngineType, EntrypointArgs, RouterConfig, RouterMode, make_engine, run_input
from dynamo.runtime import DistributedRuntime


async def serve(host: str, port: int) -> None:
    """Serve the models of all workers that the discovery tells of."""
    loop = asyncio.get_running_loop()
    discovery = os.environ.get("DYN_DISCOVERY_BACKEND", "etcd")
    runtime = DistributedRuntime(loop, discovery, os.environ.get("DYN_REQUEST_PLANE", "tcp"))
    entry = EntrypointArgs(
        EngineType.Dynamic, http_host=host, http_port=port, router_config=RouterConfig(RouterMode.RoundRobin)
    )
    await run_input(runtime, "http", await make_engine(runtime, entry))


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
    host, _, port = address.rpartition(":")
    asyncio.run(serve(host, int(port)))

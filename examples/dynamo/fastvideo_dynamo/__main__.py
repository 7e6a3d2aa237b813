"""``python -m fastvideo_dynamo``: a worker that makes videos, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from dynamo.runtime import DistributedRuntime

from fastvideo import ResultStore, VideoGenerator
from fastvideo_dynamo.args import Arguments, parse_args
from fastvideo_dynamo.handler import Handler, Settings
from fastvideo_dynamo.register import register_and_serve
from fastvideo_dynamo.results_server import serving_results

logger = logging.getLogger("fastvideo_dynamo")


async def serve(arguments: Arguments, generator: VideoGenerator, store: ResultStore) -> None:
    """Serve until SIGTERM or SIGINT; what runs is finished first."""
    loop = asyncio.get_running_loop()
    discovery = os.environ.get("DYN_DISCOVERY_BACKEND", "etcd")
    runtime = DistributedRuntime(loop, discovery, os.environ.get("DYN_REQUEST_PLANE", "tcp"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.shutdown)
    settings = Settings(
        arguments.model, arguments.serve.default_request, arguments.limits, max_waiting=arguments.max_waiting
    )
    handler = Handler(generator, settings, lambda video: f"{arguments.results_url}/{store.put(video)}")
    logger.info("serving %s at %s", arguments.model, arguments.endpoint)
    await register_and_serve(runtime, arguments, handler)


def main() -> None:
    """Load the model, then serve it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    arguments = parse_args()
    store = ResultStore(arguments.serve)
    try:
        with (
            serving_results(store, *arguments.results_address),
            VideoGenerator.from_pretrained(config=arguments.serve.generator) as generator,
        ):
            asyncio.run(serve(arguments, generator, store))
    finally:
        store.close()


if __name__ == "__main__":
    main()

"""``fastvideo bench``: how much a running server takes, and how it is for those who wait or watch."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

from fastvideo.entrypoints.bench.address import base_url_of
from fastvideo.entrypoints.cli.cli_types import CLISubcommand

TASKS = ("text-to-video", "image-to-video", "text-to-image", "image-to-image", "video-to-video")
DATASETS = ("builtin", "random", "vbench")


class BenchSubcommand(CLISubcommand):
    """Asks a running server for jobs, or watches live streams of it, and tells how long everything took."""

    name = "bench"

    def subparser_init(self, subparsers: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = subparsers.add_parser(
            self.name,
            help="measure a running server under load",
            description="Measure a running server: jobs of its HTTP API, or with --streams its live streams.",
            epilog="A server that asks for a key gets the one in FASTVIDEO_API_KEY or in --api-key-file. "
            "docs/bench.md tells what is measured.",
        )
        server = parser.add_argument_group("the server")
        server.add_argument("--base-url", metavar="URL", help="its address; beats --host and --port")
        server.add_argument("--host", default="localhost", help="(default: %(default)s)")
        server.add_argument("--port", type=int, default=8000, help="(default: %(default)s)")
        server.add_argument("--model", default="default", help="what requests name (default: %(default)s)")
        server.add_argument("--api-key-file", metavar="FILE", help="a file with an API key and nothing else")
        server.add_argument(
            "--wait", type=float, default=0.0, metavar="S", help="give it so long to become ready (default: 0)"
        )

        load = parser.add_argument_group("the load")
        load.add_argument(
            "--request-rate",
            type=float,
            default=math.inf,
            metavar="PER_S",
            help="jobs or sessions that arrive a second, at random moments; inf is all at once (default: inf)",
        )
        load.add_argument(
            "--burstiness",
            type=float,
            default=1.0,
            help="1 is a Poisson process, less comes in bursts, more is more even (default: 1)",
        )
        load.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
        load.add_argument(
            "--timeout",
            type=float,
            default=600.0,
            metavar="S",
            help="for a job, or until a session's first picture (default: 600)",
        )
        load.add_argument("--dataset", choices=DATASETS, default="builtin", help="prompts (default: %(default)s)")
        load.add_argument(
            "--dataset-path",
            metavar="PATH",
            help="where vbench lies (default: fastvideo/vbench in the cache folder); nothing is downloaded",
        )

        jobs = parser.add_argument_group("jobs")
        jobs.add_argument("--task", choices=TASKS, default=TASKS[0], help="(default: %(default)s)")
        jobs.add_argument("--num-prompts", type=int, default=10, metavar="N", help="(default: %(default)s)")
        jobs.add_argument(
            "--max-concurrency", type=int, default=1, metavar="N", help="jobs at a time at most (default: %(default)s)"
        )
        jobs.add_argument("--width", type=int, metavar="PX", help="of the video; with --height")
        jobs.add_argument("--height", type=int, metavar="PX")
        jobs.add_argument("--num-frames", type=int, metavar="N")
        jobs.add_argument("--fps", type=int)
        jobs.add_argument("--keep", action="store_true", help="leave the videos on the server")

        streams = parser.add_argument_group("live streams")
        streams.add_argument(
            "--streams", type=int, metavar="N", help="watch N live sessions, instead of asking for jobs"
        )
        streams.add_argument(
            "--watch",
            type=float,
            default=30.0,
            metavar="S",
            help="how long each is watched, from its first picture on (default: 30)",
        )
        streams.add_argument(
            "--steer-every",
            type=float,
            default=10.0,
            metavar="S",
            help="send a prompt at random moments, so often on average; 0 is never (default: 10)",
        )
        streams.add_argument(
            "--buffer",
            type=float,
            default=0.5,
            metavar="S",
            help="what the virtual player waits for before it plays, and after a stall (default: 0.5, like the page)",
        )

        output = parser.add_argument_group("output")
        output.add_argument(
            "--json",
            "--output-file",
            dest="output_file",
            metavar="FILE",
            nargs="?",
            const="-",
            help="write everything as JSON; without FILE, print it and nothing else",
        )
        output.add_argument("--html", metavar="FILE", help="write a report with plots, which needs nothing else")
        output.add_argument("--disable-tqdm", action="store_true", help="say nothing until the end")
        output.add_argument(
            "--log-level",
            default="warning",
            choices=("debug", "info", "warning", "error"),
            help="of the libraries used",
        )
        parser.add_argument("--backend", help=argparse.SUPPRESS)
        return parser

    def validate(self, args: argparse.Namespace) -> None:
        """Raises ValueError with what was expected and what came."""
        for name in ("num_prompts", "max_concurrency", "width", "height", "num_frames", "fps", "streams"):
            value = getattr(args, name)
            if value is not None and value < 1:
                raise ValueError(f"expected {_flag(name)} of at least 1, got {value}")
        for name in ("request_rate", "burstiness", "timeout", "watch"):
            if not getattr(args, name) > 0:
                raise ValueError(f"expected {_flag(name)} above 0, got {getattr(args, name):g}")
        for name in ("wait", "steer_every", "buffer"):
            if not getattr(args, name) >= 0:
                raise ValueError(f"expected {_flag(name)} of at least 0, got {getattr(args, name):g}")
        for name in ("burstiness", "timeout", "watch", "wait", "steer_every", "buffer"):
            if math.isinf(getattr(args, name)):
                raise ValueError(f"expected a finite {_flag(name)}, got inf")
        if (args.width is None) != (args.height is None):
            raise ValueError("expected --width and --height together")
        if args.task == "video-to-video":
            raise ValueError(
                "no server of this package makes videos from videos; a 'state' continues one (docs/openai.md)"
            )
        if args.streams is not None and args.max_concurrency != 1:
            raise ValueError("--max-concurrency is for jobs; --streams says how many sessions there are")
        base_url_of(args)

    def cmd(self, args: argparse.Namespace, overrides: Sequence[str]) -> int:
        from fastvideo.entrypoints.cli.bench_serving import benchmark

        return benchmark(args)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""A whole run: the load is made, followed on the terminal, and reported."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastvideo import __version__
from fastvideo.entrypoints.bench.address import base_url_of, stream_url_of
from fastvideo.entrypoints.bench.arrivals import arrival_times
from fastvideo.entrypoints.bench.datasets import dataset_of
from fastvideo.entrypoints.bench.html_report import html_page
from fastvideo.entrypoints.bench.job import Task
from fastvideo.entrypoints.bench.job_client import JobClient, wait_for_service
from fastvideo.entrypoints.bench.job_load import JobLoad
from fastvideo.entrypoints.bench.live_load import LiveLoad
from fastvideo.entrypoints.bench.live_metrics import live_metrics
from fastvideo.entrypoints.bench.live_session import End, Visit
from fastvideo.entrypoints.bench.report import Report, job_report, live_report
from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.progress import ProgressLine

_KEY_VARIABLE = "FASTVIDEO_API_KEY"
_LOOK_EVERY_S = 0.5
# Viewers choose among so many; jobs have as many prompts as there are jobs.
_STREAM_PROMPTS = 200
_GONE = frozenset({"unreachable", "connection lost"})


def run_bench(args: argparse.Namespace) -> int:
    """Run what the arguments of the verb say; gives the exit code.

    Raises ValueError and OSError for what cannot be begun: no dataset, no key in its file, no folder for the report.
    """
    logging.basicConfig(level=args.log_level.upper())
    if args.backend is not None:
        print("fastvideo bench: --backend does nothing any more", file=sys.stderr)
    base_url, api_key = base_url_of(args), _api_key(args.api_key_file)
    for path in (args.output_file, args.html):
        if path not in (None, "-") and not Path(path).expanduser().parent.is_dir():
            raise FileNotFoundError(f"expected a file in a folder that exists, got {path}")
    begun_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with ProgressLine(quiet=args.disable_tqdm or args.output_file == "-") as line:
            if args.streams is None:
                report, code = _run_jobs(args, base_url, api_key, begun_at, line)
            else:
                report, code = _run_streams(args, base_url, api_key, begun_at, line)
    except ConnectionError as error:
        print(f"fastvideo bench: {error}", file=sys.stderr)
        return ExitCode.NO_ANSWER
    _write(report, args)
    return code


def _run_jobs(
    args: argparse.Namespace, base_url: str, api_key: str | None, begun_at: str, line: ProgressLine
) -> tuple[Report, int]:
    requests = dataset_of(args, base_url).get_requests()
    arrivals = arrival_times(len(requests), args.request_rate, args.burstiness, random.Random(f"arrivals/{args.seed}"))
    loads: list[JobLoad] = []

    async def run() -> None:
        await wait_for_service(base_url, args.wait)
        async with JobClient(base_url, timeout_s=args.timeout, api_key=api_key, keep=args.keep) as client:
            load = JobLoad(client, requests, arrivals, max_concurrency=args.max_concurrency)
            loads.append(load)
            await _followed(load, line)

    interrupted = _finished(run, loads)
    (load,) = loads
    names = ("task", "num_prompts", "max_concurrency", "width", "height", "num_frames", "fps", "model")
    report = job_report(
        load.metrics(),
        load.outcomes,
        begun_s=load.begun_s,
        begun_at=begun_at,
        version=__version__,
        interrupted=interrupted,
        setup=_setup(args, base_url, names),
    )
    faults = [one.fault for one in load.outcomes if one.fault is not None]
    some = any(one.completed for one in load.outcomes)
    # A job that was not even begun: no key, no room, or a request that the server does not take.
    refused = all(fault.startswith("4") for fault in faults)
    return report, _code(interrupted, gone=bool(_GONE & set(faults)), some=some, refused=refused)


def _run_streams(
    args: argparse.Namespace, base_url: str, api_key: str | None, begun_at: str, line: ProgressLine
) -> tuple[Report, int]:
    # Prompts alone are wanted of the dataset: a stream has no other settings.
    wanted = argparse.Namespace(**{**vars(args), "num_prompts": _STREAM_PROMPTS, "task": Task.TEXT_TO_VIDEO})
    prompts = sorted({request.prompt for request in dataset_of(wanted, base_url)})
    visit = Visit(args.watch, args.steer_every, args.timeout, args.buffer, prompts)
    arrivals = arrival_times(args.streams, args.request_rate, args.burstiness, random.Random(f"arrivals/{args.seed}"))
    loads: list[LiveLoad] = []

    async def run() -> None:
        await wait_for_service(base_url, args.wait)
        load = LiveLoad(stream_url_of(base_url), visit, arrivals, seed=args.seed, api_key=api_key)
        loads.append(load)
        await _followed(load, line)

    interrupted = _finished(run, loads)
    (load,) = loads
    report = live_report(
        live_metrics(load.sessions, load.ended_s - load.begun_s),
        load.sessions,
        begun_s=load.begun_s,
        begun_at=begun_at,
        version=__version__,
        interrupted=interrupted,
        setup=_setup(args, base_url, ("streams", "watch", "steer_every", "buffer")),
    )
    ends = {session.end for session in load.sessions}
    gone, some = bool(ends & {End.UNREACHABLE, End.LOST}), bool(ends & {End.WATCHED, End.COMPLETED})
    return report, _code(interrupted, gone=gone, some=some, refused=ends == {End.REFUSED})


def _finished(run: Any, loads: list[Any]) -> bool:
    """Whether it was interrupted; what is known until then is in the load."""
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        if not loads:
            raise
        return True
    return False


async def _followed(load: JobLoad | LiveLoad, line: ProgressLine) -> None:
    follower = asyncio.create_task(_follow(load, line))
    try:
        await load.run()
    finally:
        follower.cancel()
    _show(load, line)


async def _follow(load: JobLoad | LiveLoad, line: ProgressLine) -> None:
    while True:
        _show(load, line)
        await asyncio.sleep(_LOOK_EVERY_S)


def _show(load: JobLoad | LiveLoad, line: ProgressLine) -> None:
    if isinstance(load, JobLoad):
        over = sum(one.ended_s is not None for one in load.outcomes)
        failed = sum(one.fault is not None for one in load.outcomes)
        line.update(f"jobs, {failed} failed," if failed and line.on_terminal else "jobs", over, load.total)
        return
    over = sum(session.end is not None for session in load.sessions)
    if not line.on_terminal:
        line.update("sessions", over, load.total)
        return
    here = [session.trace for session in load.sessions if session.end is None]
    standing = sum(trace.player.dry_at_s is not None for trace in here)
    waiting = sum(trace.first_media_s is None for trace in here)
    stalls = sum(len(session.trace.stalls) for session in load.sessions)
    line.show(
        f"sessions {over}/{load.total} over, {len(here) - standing - waiting} playing, {standing} standing, "
        f"{waiting} waiting, {stalls} stalls so far"
    )


def _setup(args: argparse.Namespace, base_url: str, names: tuple[str, ...]) -> dict[str, Any]:
    shared = ("dataset", "request_rate", "burstiness", "seed", "timeout")
    told = {name: getattr(args, name) for name in (*names, *shared)}
    # JSON has no infinity.
    told["request_rate"] = "inf" if args.request_rate == float("inf") else args.request_rate
    return {"server": base_url, **{name: value for name, value in told.items() if value is not None}}


def _code(interrupted: bool, *, gone: bool, some: bool, refused: bool) -> int:
    if interrupted:
        return ExitCode.INTERRUPTED
    if gone:
        return ExitCode.NO_ANSWER
    if some:
        return ExitCode.DONE
    return ExitCode.REFUSED if refused else ExitCode.FAILED


def _write(report: Report, args: argparse.Namespace) -> None:
    document = json.dumps(report.document(), indent=1)
    if args.output_file == "-":
        print(document)
    else:
        print("\n".join(report.lines()))
        if args.output_file is not None:
            Path(args.output_file).expanduser().write_text(document + "\n", "utf-8")
    if args.html is not None:
        Path(args.html).expanduser().write_text(html_page(report), "utf-8")


def _api_key(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(_KEY_VARIABLE) or None
    key = Path(path).expanduser().read_text("utf-8").strip()
    if not key or not key.isprintable() or " " in key:
        raise ValueError(f"expected one API key and nothing else in {path}")
    return key

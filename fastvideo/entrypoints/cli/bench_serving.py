"""The datasets and the run of ``fastvideo bench``, under the names that they are documented with."""

from __future__ import annotations

import argparse

from fastvideo.entrypoints.bench.datasets import BaseDataset, BuiltinDataset, RandomDataset, VBenchDataset
from fastvideo.entrypoints.bench.job import JobOutcome as RequestFuncOutput
from fastvideo.entrypoints.bench.job import JobRequest as RequestFuncInput
from fastvideo.entrypoints.bench.job import calculate_metrics
from fastvideo.entrypoints.bench.job_client import wait_for_service
from fastvideo.entrypoints.bench.run import run_bench

__all__ = [
    "BaseDataset",
    "BuiltinDataset",
    "RandomDataset",
    "RequestFuncInput",
    "RequestFuncOutput",
    "VBenchDataset",
    "benchmark",
    "calculate_metrics",
    "wait_for_service",
]


def benchmark(args: argparse.Namespace) -> int:
    """Run what ``args`` of the verb say, show and write the report; gives the exit code."""
    return run_bench(args)

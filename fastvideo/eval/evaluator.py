"""Measures a video by several metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastvideo.api.errors import DependencyMissing, EvaluationError
from fastvideo.eval.registry import Measure, Metric, Need, get_metric, list_metrics
from fastvideo.eval.result import MetricResult, Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastvideo.eval.clip import Clip, Sample

    Source = str | os.PathLike[str] | Clip | NDArray[np.uint8]


class Evaluator:
    """Loaded metrics. ``left_out`` has those that could not be, with the sentence that says what to install."""

    def __init__(
        self, measures: Mapping[str, Measure], left_out: Mapping[str, str] | None = None, *, lenient: bool = False
    ) -> None:
        self._measures = dict(measures)
        self._lenient = lenient
        self.left_out = dict(left_out or {})

    @property
    def metrics(self) -> list[Metric]:
        return [get_metric(name) for name in self._measures]

    def evaluate(
        self,
        video: Source,
        reference: Source | None = None,
        text_prompt: str | None = None,
        fps: float | None = None,
        *,
        joins_s: Sequence[float] = (),
    ) -> dict[str, MetricResult]:
        """Measure a file, a clip, or frames uint8 [T, H, W, 3]; a result for each metric.

        ``fps`` replaces the rate that files say, and frames alone need it (24 otherwise). ``joins_s``: when later
        segments begin. Raises EvaluationError for what cannot be measured; an evaluator of "all" gives such metrics the
        score None and the reason instead.
        """
        from fastvideo.eval.clip import Sample

        sample = Sample(
            _clip(video, fps), None if reference is None else _clip(reference, fps), text_prompt, tuple(joins_s)
        )
        return {name: self._measured(get_metric(name), sample) for name in self._measures}

    def _measured(self, metric: Metric, sample: Sample) -> MetricResult:
        try:
            _require(metric, sample)
            score = self._measures[metric.name](sample)
        except EvaluationError as error:
            if not self._lenient:
                raise
            score = Score(None, {"reason": str(error)})
        return MetricResult(metric.name, score.value, dict(score.details), metric.unit, metric.better)


def create_evaluator(
    metrics: str | Sequence[str] = "all",
    device: str = "cuda:0",
    num_gpus: int = 1,
    compile: bool = False,
    *,
    skip_missing_deps: bool = False,
) -> Evaluator:
    """An evaluator of these metrics: names in a list or with commas between them, or "all".

    ``device`` is where networks run; without CUDA they run on the CPU. Raises ValueError for an unknown name, for more
    than one GPU and for ``compile``, and DependencyMissing, unless such metrics are to be skipped.
    """
    if num_gpus != 1:
        raise ValueError(f"metrics run on one device: expected num_gpus 1, got {num_gpus}")
    if compile:
        raise ValueError("metrics are not compiled: expected compile False, got True")
    everything = metrics == "all"
    if everything:
        chosen = list_metrics()
    else:
        names = metrics.split(",") if isinstance(metrics, str) else metrics
        chosen = [get_metric(name) for name in dict.fromkeys(name.strip() for name in names)]
    measures: dict[str, Measure] = {}
    left_out: dict[str, str] = {}
    for metric in chosen:
        try:
            missing = metric.missing()
            if missing is not None:
                raise DependencyMissing(missing)
            measures[metric.name] = metric.load(device)
        except DependencyMissing as error:
            if not skip_missing_deps:
                raise
            left_out[metric.name] = str(error)
    return Evaluator(measures, left_out, lenient=everything)


def _require(metric: Metric, sample: Sample) -> None:
    has = {
        Need.REFERENCE: sample.reference is not None,
        Need.PROMPT: bool(sample.prompt and sample.prompt.strip()),
        Need.SOUND: sample.video.samples is not None,
        Need.JOINS: bool(sample.joins_s),
    }
    words = {
        Need.REFERENCE: "a reference",
        Need.PROMPT: "the prompt",
        Need.SOUND: f"sound, which {sample.video.name} has not",
        Need.JOINS: "the times at which segments join",
    }
    lacking = [words[need] for need in Need if need in metric.needs and not has[need]]
    if lacking:
        raise EvaluationError(f"{metric.name} needs {' and '.join(lacking)}")


def _clip(video: Source, fps: float | None) -> Clip:
    from fastvideo.eval.clip import Clip
    from fastvideo.eval.io import load_video

    if isinstance(video, Clip):
        return video if fps is None else replace(video, fps=fps)
    if isinstance(video, str | os.PathLike):
        return load_video(Path(video), fps=fps)
    import numpy as np

    return Clip(np.asarray(video), 24.0 if fps is None else fps)

"""Dimensions of VBench (Huang et al. 2024), by its own command, which lives in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from fastvideo.api.errors import DependencyMissing, EvaluationError
from fastvideo.eval.clip import Sample
from fastvideo.eval.registry import Measure
from fastvideo.eval.result import Score

INSTALL = (
    "VBench needs numpy below 2, so give it an environment of its own (python3.10 -m venv ~/vbench && "
    "~/vbench/bin/pip install vbench), and put ~/vbench/bin on the PATH."
)
# What each dimension loads, in VBench's cache folder.
_FILES = {
    "subject_consistency": ("dino_model/facebookresearch_dino_main", "dino_model/dino_vitbase16_pretrain.pth"),
    "background_consistency": ("clip_model/ViT-B-32.pt",),
    "motion_smoothness": ("amt_model/amt-s.pth",),
    "dynamic_degree": ("raft_model/models/raft-things.pth",),
    "aesthetic_quality": ("clip_model/ViT-L-14.pt", "aesthetic_model/emb_reader"),
    "imaging_quality": ("pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",),
}
_TIMEOUT_S = 3600


def load(_device: str, dimension: str) -> Measure:
    """A function that runs ``vbench evaluate``, which takes the GPUs that it sees.

    Raises DependencyMissing without that command, or without the weights of the dimension.
    """
    command = shutil.which("vbench")
    if command is None:
        raise DependencyMissing(f"vbench_{dimension} needs the command vbench, which is not on the PATH. {INSTALL}")
    cache = Path(os.environ.get("VBENCH_CACHE_DIR") or Path.home() / ".cache" / "vbench")
    absent = [str(cache / name) for name in _FILES[dimension] if not (cache / name).exists()]
    if absent:
        raise DependencyMissing(
            f"vbench_{dimension} needs {' and '.join(absent)}, and does not download them by itself. "
            "https://github.com/Vchitect/VBench says where they are from."
        )

    def measure(sample: Sample) -> Score:
        source = sample.video.source
        if source is None:
            raise EvaluationError("VBench measures files: give the video's path")
        return _run(command, dimension, source)

    return measure


def _run(command: str, dimension: str, source: Path) -> Score:
    with tempfile.TemporaryDirectory(prefix="fastvideo-vbench-") as name:
        folder = Path(name)
        videos, results = folder / "videos", folder / "results"
        videos.mkdir()
        # VBench hands names on to a shell: it gets one that holds nothing but letters.
        shutil.copyfile(source, videos / f"video{source.suffix.lower() if source.suffix.isalnum() else '.mp4'}")
        environment = {**os.environ, "PATH": f"{Path(command).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        done = subprocess.run(  # noqa: S603  # the operator's own command, and names of ours
            [
                *(command, "evaluate", "--videos_path", str(videos), "--output_path", str(results)),
                *("--dimension", dimension, "--mode", "custom_input", "--load_ckpt_from_local", "True"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        # It ends with 0 in any case.
        found = sorted(results.glob("*_eval_results.json")) if results.is_dir() else []
        if not found:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no word"]
            raise EvaluationError(f"vbench gave no result for {source}: {last[0]}")
        answers: dict[str, Any] = json.loads(found[-1].read_text(encoding="utf-8"))
    return Score(float(answers[dimension][0]))

"""The metrics of this package."""

from __future__ import annotations

from fastvideo.eval.registry import Metric, Need, loaded_from, made_by, register
from fastvideo.eval.result import Better

_HERE = "fastvideo.eval.metrics"
_REFERENCE = frozenset({Need.REFERENCE})
_PROMPT = frozenset({Need.PROMPT})
_SOUND = frozenset({Need.SOUND})
VBENCH_DIMENSIONS = {
    "subject_consistency": "how alike its subject stays, by DINO features",
    "background_consistency": "how alike its background stays, by CLIP features",
    "motion_smoothness": "how well a network for frame interpolation predicts every other frame",
    "dynamic_degree": "1 when there is much motion, by RAFT optical flow, else 0",
    "aesthetic_quality": "the LAION predictor of beauty",
    "imaging_quality": "the MUSIQ predictor of technical quality",
}

_METRICS = (
    Metric(
        "psnr",
        "common",
        "peak signal-to-noise ratio of the whole clip",
        loaded_from(f"{_HERE}.psnr"),
        "dB",
        needs=_REFERENCE,
    ),
    Metric("ssim", "common", "structural similarity", loaded_from(f"{_HERE}.ssim"), needs=_REFERENCE),
    Metric(
        "ms_ssim", "common", "structural similarity at five scales", loaded_from(f"{_HERE}.ms_ssim"), needs=_REFERENCE
    ),
    Metric(
        "temporal_flicker",
        "common",
        "how much pixels go up and down again from frame to frame",
        loaded_from(f"{_HERE}.temporal_flicker"),
        "levels",
        Better.LOWER,
    ),
    Metric(
        "join_continuity",
        "common",
        "how large steps are where segments join, beside those inside",
        loaded_from(f"{_HERE}.join_continuity"),
        "x",
        Better.LOWER,
        frozenset({Need.JOINS}),
    ),
    Metric(
        "motion_smoothness",
        "optical_flow",
        "how evenly what moves moves on",
        loaded_from(f"{_HERE}.motion_smoothness"),
    ),
    Metric(
        "loudness",
        "audio",
        "integrated loudness (ITU-R BS.1770)",
        loaded_from(f"{_HERE}.loudness"),
        "LUFS",
        Better.NEITHER,
        _SOUND,
    ),
    Metric(
        "av_sync",
        "audio",
        "how long after the picture the sound comes",
        loaded_from(f"{_HERE}.av_sync"),
        "ms",
        Better.NEITHER,
        _SOUND,
    ),
    Metric(
        "prompt_adherence",
        "embedded",
        "share of what a prompt names that the embedded model's world shows",
        loaded_from(f"{_HERE}.prompt_adherence"),
        needs=_PROMPT,
    ),
    Metric(
        "lpips",
        "lpips",
        "distance in the features of AlexNet",
        made_by(f"{_HERE}.lpips"),
        better=Better.LOWER,
        needs=_REFERENCE,
        packages=("lpips", "torchvision"),
        install="Install it with: pip install lpips torchvision",
    ),
    Metric(
        "clip_score",
        "clip",
        "how alike frames and prompt are in the features of CLIP",
        made_by(f"{_HERE}.clip_score"),
        needs=_PROMPT,
        packages=("transformers",),
        install="Install it with: pip install 'fastvideo[ltx2]'",
    ),
    *(
        Metric(f"vbench_{dimension}", "vbench", f"VBench: {summary}", made_by(f"{_HERE}.vbench", "load", dimension))
        for dimension, summary in VBENCH_DIMENSIONS.items()
    ),
)


def register_built_in() -> None:
    """Make them known; once."""
    for metric in _METRICS:
        register(metric)

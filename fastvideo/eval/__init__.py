"""What makes a video good, measured: ``create_evaluator("psnr,ssim").evaluate(video, reference)``.

docs/eval.md defines each metric. Importing this loads none of them, and neither torch nor FFmpeg.
"""

from fastvideo.eval.built_in import register_built_in
from fastvideo.eval.evaluator import Evaluator, create_evaluator
from fastvideo.eval.registry import Metric, Need, get_metric, list_metrics, register
from fastvideo.eval.result import Better, MetricResult, Score

register_built_in()

__all__ = [
    "Better",
    "Evaluator",
    "Metric",
    "MetricResult",
    "Need",
    "Score",
    "create_evaluator",
    "get_metric",
    "list_metrics",
    "register",
]

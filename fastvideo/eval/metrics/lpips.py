"""LPIPS (Zhang et al. 2018), by the package of its authors."""

from __future__ import annotations

from pathlib import Path

import torch

from fastvideo.api.errors import DependencyMissing
from fastvideo.eval.clip import Frames, Sample
from fastvideo.eval.metrics.networks import usable_device
from fastvideo.eval.registry import Measure
from fastvideo.eval.result import Score

# What torchvision would download; the package brings the weights of its own layers.
_BACKBONE = "alexnet-owt-7be5be79.pth"


def load(device: str) -> Measure:
    """A function that measures the mean distance of the frames. Raises DependencyMissing without AlexNet's weights."""
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONE
    if not weights.is_file():
        raise DependencyMissing(
            f"lpips needs the weights of AlexNet at {weights}, and does not download them by itself. Get them with: "
            "python -c 'import torchvision; torchvision.models.alexnet(weights=\"DEFAULT\")'"
        )
    import lpips

    where = usable_device(device)
    network = lpips.LPIPS(net="alex", verbose=False).eval().to(where)

    def prepared(frame: Frames) -> torch.Tensor:
        pixels = torch.from_numpy(frame.copy()).to(where)
        return pixels.movedim(-1, 0)[None].float().div_(127.5).sub_(1)

    @torch.inference_mode()
    def measure(sample: Sample) -> Score:
        one, other = sample.compared()
        values = [float(network(prepared(a), prepared(b))) for a, b in zip(one, other, strict=True)]
        return Score(sum(values) / len(values), {"max": max(values), "frames": len(values)})

    return measure

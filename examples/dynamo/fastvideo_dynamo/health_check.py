"""What Dynamo sends to see whether a worker still makes videos: the smallest one that goes through every stage."""

from __future__ import annotations

from typing import Any

from fastvideo import VideoGenerator


def health_check_payload(model: str) -> dict[str, Any]:
    """A request for a video of a third of a second at 256x256 in one step, inline, so that nothing of it is kept."""
    request = VideoGenerator.default_health_check_request()
    sampling = request.sampling
    return {
        "prompt": request.prompt,
        "model": model,
        "size": f"{sampling.width}x{sampling.height}",
        "response_format": "b64_json",
        "nvext": {
            "fps": sampling.fps,
            "num_frames": sampling.num_frames,
            "num_inference_steps": sampling.num_inference_steps,
            "guidance_scale": sampling.guidance_scale,
        },
    }

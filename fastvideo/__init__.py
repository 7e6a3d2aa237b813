"""Real-time AI video as a live stream."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastvideo.entrypoints.openai.result_store import ResultStore
    from fastvideo.entrypoints.video_generator import VideoGenerator

__version__ = "0.1.0"

__all__ = ["ResultStore", "VideoGenerator", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the contracts and the command line start without them.
    if name == "VideoGenerator":
        from fastvideo.entrypoints.video_generator import VideoGenerator

        return VideoGenerator
    if name == "ResultStore":
        from fastvideo.entrypoints.openai.result_store import ResultStore

        return ResultStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

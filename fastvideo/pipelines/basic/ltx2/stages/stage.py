"""What all stages share: one call, between checks of what goes in and what comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from fastvideo.api.errors import GenerationFailed
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig


class StageVerificationError(GenerationFailed):
    """A stage got, or made, something that cannot be right; the same request will fail again."""

    retryable = False


class Stage(ABC):
    """One step of the pipeline. ``engine.enable_stage_verification`` switches the checks."""

    def __call__(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        """Run the stage, unless the batch was cancelled."""
        with self.verifying(batch, config):
            return self.forward(batch, config)

    @contextmanager
    def verifying(self, batch: LTX2Batch, config: LTX2T2VConfig) -> Iterator[None]:
        """The checks around the work, for a stage that is run step by step."""
        batch.cancel.raise_if_cancelled()
        if config.enable_stage_verification:
            self.verify_input(batch)
        yield
        if config.enable_stage_verification:
            self.verify_output(batch)

    @abstractmethod
    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        """Do the work; the same batch comes back with more of it filled in."""

    def verify_input(self, batch: LTX2Batch) -> None:  # noqa: B027  # a stage may have nothing to check
        """Raise StageVerificationError when an earlier stage left something out."""

    def verify_output(self, batch: LTX2Batch) -> None:  # noqa: B027
        """Raise StageVerificationError when the result has the wrong shape, or is not finite."""

    def check(self, condition: bool, message: str) -> None:
        """Raise StageVerificationError with the stage's name unless ``condition`` holds."""
        if not condition:
            raise StageVerificationError(f"{type(self).__name__}: {message}")

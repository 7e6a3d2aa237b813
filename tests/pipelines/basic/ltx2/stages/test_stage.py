import pytest

from fastvideo.api.errors import GenerationCancelled
from fastvideo.pipelines.basic.ltx2.batch import LTX2Batch, seeded_noise
from fastvideo.pipelines.basic.ltx2.denoise_plan import DenoisePlan
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan
from fastvideo.pipelines.basic.ltx2.stages.stage import Stage, StageVerificationError


class Recording(Stage):
    """Remembers what was called."""

    def __init__(self, *, fails: str = "") -> None:
        self.calls: list[str] = []
        self._fails = fails

    def forward(self, batch: LTX2Batch, config: LTX2T2VConfig) -> LTX2Batch:
        self.calls.append("forward")
        return batch

    def verify_input(self, batch: LTX2Batch) -> None:
        self.calls.append("input")
        self.check(self._fails != "input", "the input is wrong")

    def verify_output(self, batch: LTX2Batch) -> None:
        self.calls.append("output")
        self.check(self._fails != "output", "the output is wrong")


def a_batch() -> LTX2Batch:
    plan = SegmentPlan.make(9, 24)
    return LTX2Batch(prompt="", plan=plan, stages=(DenoisePlan("denoise", 64, 64, (1.0, 0.0)),), noise=seeded_noise(0))


def test_the_work_lies_between_two_checks() -> None:
    stage = Recording()
    stage(a_batch(), LTX2T2VConfig())
    assert stage.calls == ["input", "forward", "output"]


def test_checks_can_be_switched_off() -> None:
    stage = Recording(fails="output")
    stage(a_batch(), LTX2T2VConfig(enable_stage_verification=False))
    assert stage.calls == ["forward"]


@pytest.mark.parametrize(("fails", "calls"), [("input", ["input"]), ("output", ["input", "forward", "output"])])
def test_a_failed_check_names_the_stage_and_is_not_worth_repeating(fails: str, calls: list[str]) -> None:
    stage = Recording(fails=fails)
    with pytest.raises(StageVerificationError, match=f"Recording: the {fails} is wrong") as caught:
        stage(a_batch(), LTX2T2VConfig())
    assert stage.calls == calls
    assert not caught.value.retryable
    assert caught.value.code == "worker_failed"


def test_a_cancelled_batch_is_not_worked_on() -> None:
    stage, batch = Recording(), a_batch()
    batch.cancel.cancel()
    with pytest.raises(GenerationCancelled):
        stage(batch, LTX2T2VConfig())
    assert stage.calls == []

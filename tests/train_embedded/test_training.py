"""A run learns, can be interrupted without a trace, and knows its own snapshots."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scripts.train_embedded.training import Plan, train

PLAN = Plan("line", 60, 0.05, warmup_steps=5, report_every_steps=20, snapshot_every_steps=10)


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


def run(
    folder: Path, *, stop_at: int | None = None, plan: Plan = PLAN
) -> tuple[dict[str, Tensor], list[str], list[float]]:
    model, lines, losses = fresh(), [], []

    def losses_at(step: int) -> dict[str, Tensor]:
        x = torch.randn((16, 2), generator=torch.Generator().manual_seed(step))
        loss = (model(x) - x.sum(dim=1, keepdim=True)).square().mean()
        losses.append(float(loss.detach()))
        return {"loss": loss}

    return train(model, losses_at, plan, folder, stop_at=stop_at, report=lines.append), lines, losses


def test_the_loss_falls_and_progress_is_told(tmp_path: Path) -> None:
    average, lines, losses = run(tmp_path)
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])
    assert [line.split("  ")[0] for line in lines] == ["line: 20/60", "line: 40/60", "line: 60/60"]
    assert all("s left" in line for line in lines)
    assert set(average) == set(fresh().state_dict())


def test_a_run_that_was_interrupted_ends_with_the_very_same_weights(tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_at=23)
    resumed, lines, losses = run(tmp_path / "parts")
    assert lines[0] == "line: goes on from step 23"
    assert len(losses) == PLAN.steps - 23
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name])


def test_a_snapshot_of_another_plan_is_refused(tmp_path: Path) -> None:
    run(tmp_path, stop_at=10)
    with pytest.raises(ValueError, match="is of another run"):
        run(tmp_path, plan=Plan("line", 99, 0.05))


def test_no_half_written_snapshot_is_left(tmp_path: Path) -> None:
    run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["line.snapshot.safetensors"]


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [PLAN.rate_at(step) for step in range(PLAN.steps)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[5] == 0.05
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 0.001
    assert math.isclose(PLAN.rate_at(PLAN.steps), 0, abs_tol=1e-12)

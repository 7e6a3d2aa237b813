"""A run learns, can be interrupted without a trace, and knows its own snapshots."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
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


# Each process has its half of a batch; alone, one has both.
SHARED_RUN = """
import sys
from pathlib import Path
import torch
from scripts.train_embedded.training import Plan, Team, train

torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
team = Team.join()

def losses_at(step):
    x = torch.randn((8, 2), generator=torch.Generator().manual_seed(step)).chunk(team.size)[team.rank]
    return {"loss": (model(x) - x.sum(dim=1, keepdim=True)).square().mean()}

train(model, losses_at, Plan("line", 20, 0.05, warmup_steps=5), Path(sys.argv[1]), team=team)
"""


def test_a_team_takes_the_steps_that_one_process_would_take(tmp_path: Path) -> None:
    script = tmp_path / "shared_run.py"
    script.write_text(SHARED_RUN)
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    alone, together = tmp_path / "alone", tmp_path / "together"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    for options, folder in (((), alone), (launcher, together)):
        command = [sys.executable, *options, str(script), str(folder)]
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
        # One of a team speaks for all.
        assert done.stdout.count("line: 20/20") == 1
    expected, reached = (load_file(folder / "line.snapshot.safetensors") for folder in (alone, together))
    assert reached.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(reached[name], tensor, rtol=1e-4, atol=1e-6)

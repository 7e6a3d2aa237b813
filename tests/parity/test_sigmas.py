"""Noise schedules against diffusers' scheduler and its published constants."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES

from fastvideo.pipelines.basic.ltx2.sigmas import DISTILLED_SIGMAS, shifted_sigmas
from fastvideo.pipelines.basic.ltx2.stages.ltx2_denoising import euler_step


def a_scheduler(**changes: object) -> FlowMatchEulerDiscreteScheduler:
    options: dict[str, object] = {"use_dynamic_shifting": True, "shift_terminal": 0.1, "time_shift_type": "exponential"}
    return FlowMatchEulerDiscreteScheduler(**(options | changes))


def test_the_distilled_list_is_the_published_one() -> None:
    assert tuple(DISTILLED_SIGMA_VALUES) == DISTILLED_SIGMAS


@pytest.mark.parametrize("steps", [2, 8, 15, 30, 40])
def test_the_shifted_schedule_matches_at_the_fixed_shift(steps: int) -> None:
    scheduler = a_scheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=2.05)
    np.testing.assert_allclose(shifted_sigmas(steps), scheduler.sigmas.numpy(), atol=1e-6)


def test_an_euler_step_matches() -> None:
    torch.manual_seed(0)
    scheduler = a_scheduler(use_dynamic_shifting=False, shift_terminal=None)
    scheduler.set_timesteps(sigmas=list(DISTILLED_SIGMAS))
    latents, velocity = torch.randn(1, 6, 4), torch.randn(1, 6, 4)
    for index, timestep in enumerate(scheduler.timesteps):
        expected = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        sigma, following = (*DISTILLED_SIGMAS, 0.0)[index : index + 2]
        clean = latents - sigma * velocity
        actual = euler_step(latents, clean, sigma, following)
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)
        latents = expected

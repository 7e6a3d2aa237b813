from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.errors import ConfigValidationError
from fastvideo.pipelines.basic.ltx2.sigmas import DISTILLED_SIGMAS, distilled_sigmas, refine_sigmas, schedule

SUBSETS = {
    1: (1.0, 0.0),
    4: (1.0, 0.909375, 0.725, 0.421875, 0.0),
    5: (1.0, 0.975, 0.909375, 0.725, 0.421875, 0.0),
    6: (1.0, 0.9875, 0.975, 0.909375, 0.725, 0.421875, 0.0),
    8: (*DISTILLED_SIGMAS, 0.0),
}


@pytest.mark.parametrize("steps", SUBSETS)
def test_distilled_subsets_are_the_published_ones(steps: int) -> None:
    assert distilled_sigmas(steps) == SUBSETS[steps]


def test_a_model_with_levels_of_its_own_takes_a_subset_of_those() -> None:
    own = (1.0, 0.45, 0.3, 0.15)
    assert schedule(4, distilled=own) == (*own, 0.0)
    # The largest gap stays, whatever is left out: the gap before 0 is then kept small.
    assert schedule(3, distilled=own) == (1.0, 0.45, 0.15, 0.0)
    assert schedule(2, distilled=own) == (1.0, 0.45, 0.0)
    assert schedule(5, distilled=own) == schedule(5, distilled=())


@given(st.integers(1, 60))
def test_every_schedule_falls_from_1_to_0_in_the_asked_steps(steps: int) -> None:
    levels = schedule(steps)
    assert len(levels) == steps + 1
    assert levels[0] == pytest.approx(1.0, abs=1e-12)
    assert levels[-1] == 0.0
    assert all(a > b for a, b in pairwise(levels))


def test_more_than_eight_steps_end_at_one_tenth() -> None:
    assert schedule(20)[-2] == pytest.approx(0.1)


def test_an_explicit_list_wins_over_the_number_of_steps() -> None:
    assert schedule(8, [1.0, 0.5]) == (1.0, 0.5, 0.0)
    assert schedule(8, [1.0, 0.5, 0.0]) == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(
    "sigmas", [[], [0.0], [0.9, 0.5], [1.0, 0.5, 0.5], [1.0, 1.0], [1.0, -0.5], [1.0, float("nan")]]
)
def test_a_list_that_does_not_fall_from_1_is_refused(sigmas: list[float]) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        schedule(8, sigmas)
    assert caught.value.path == "sampling.sigmas"


def test_no_steps_are_refused() -> None:
    with pytest.raises(ConfigValidationError, match="num_inference_steps"):
        schedule(0)


def test_refining_takes_three_levels_or_leaves_out_the_middle_one() -> None:
    assert refine_sigmas(3) == (0.909375, 0.725, 0.421875, 0.0)
    assert refine_sigmas(2) == (0.909375, 0.421875, 0.0)

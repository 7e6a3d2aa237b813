"""The model in the package does what prompts say, and does not when its transformer has learned nothing."""

import pytest

from benchmarks.embedded_quality import Options, measure_quality

PROMPTS = 12
RIGHT = 0.75
BY_CHANCE = 0.4


@pytest.mark.parametrize("randomised", [False, True])
def test_held_out_prompts_are_followed_by_the_trained_transformer_alone(randomised: bool) -> None:
    report = measure_quality(Options(prompts=PROMPTS, randomised=randomised, continued=False))
    shares = report.details["right"]
    for name in ("backdrop", "colour", "pitch"):
        assert shares[name] <= BY_CHANCE if randomised else shares[name] >= RIGHT, (name, shares)

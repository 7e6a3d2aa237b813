"""The model in the package does what prompts say, and does not when its transformer has learned nothing."""

import pytest

from benchmarks.embedded_quality import Options, measure_quality
from scripts.train_embedded.world.change import Change

PROMPTS = 8
# The least shares of the trained model that are right, and the largest of one that has learned nothing.
RIGHT = {"backdrop": 0.85, "colour": 0.75, "pitch": 0.85, "motion": 0.75, "kind": 0.6}
COLOUR_CHANGED = 0.6
BY_CHANCE = 0.4


@pytest.mark.parametrize("randomised", [False, True])
def test_held_out_prompts_and_new_colours_are_followed_by_the_trained_transformer_alone(randomised: bool) -> None:
    report = measure_quality(Options(prompts=PROMPTS, randomised=randomised))
    shares = report.details["right"]
    for name, least in RIGHT.items():
        assert shares[name] <= BY_CHANCE if randomised else shares[name] >= least, (name, shares)
    changed, asked = report.details["changed"][Change.COLOUR]
    assert asked == PROMPTS // 2
    assert changed <= BY_CHANCE * asked if randomised else changed >= COLOUR_CHANGED * asked

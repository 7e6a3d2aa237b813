"""What is held out is absent as a whole and present in parts."""

from itertools import combinations as subsets

from fastvideo.eval.world.scene import Colour, Kind, Motion
from scripts.train_embedded.world.held_out import Split, combinations


def test_the_splits_share_nothing_and_together_are_all_that_is_drawn() -> None:
    train, held_out = (set(combinations(split)) for split in (Split.TRAIN, Split.HELD_OUT))
    assert not train & held_out
    round_kinds_that_spin = 2 * len(Colour)
    assert len(train | held_out) == len(Colour) * len(Kind) * len(Motion) - round_kinds_that_spin
    assert 35 <= len(held_out) <= 50


def test_every_part_and_pair_of_a_held_out_combination_appears_in_training() -> None:
    train = combinations(Split.TRAIN)
    for held_out in combinations(Split.HELD_OUT):
        for places in subsets(range(3), 2):
            pair = [held_out[place] for place in places]
            assert any([seen[place] for place in places] == pair for seen in train)


def test_every_colour_shape_and_motion_is_held_out_in_some_combination() -> None:
    held_out = combinations(Split.HELD_OUT)
    for place, every in enumerate((Colour, Kind, Motion)):
        assert {combination[place] for combination in held_out} == set(every)

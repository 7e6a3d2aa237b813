"""The meters read the world's own clips, worn ones too, and are not fooled by another scene's caption or sound."""

import pytest

from fastvideo.eval.meters.verdict import judge, shares
from fastvideo.eval.world.asked import asked_by
from scripts.train_embedded.meters.validate import measured_clips
from scripts.train_embedded.world.held_out import Split


def read(wear: str, clips: int) -> dict[str, float]:
    results = measured_clips(clips, 96, wear, 7, Split.HELD_OUT)
    return shares([judge(measured, asked_by(scene)) for scene, measured in results])


def test_clean_clips_are_read_without_a_mistake() -> None:
    assert read("none", 30) == dict.fromkeys(("colour", "backdrop", "kind", "motion", "pitch"), 1.0)


@pytest.mark.parametrize("wear", ["blur", "h264"])
def test_worn_clips_are_read_with_few_mistakes(wear: str) -> None:
    assert min(read(wear, 12).values()) >= 0.9


def test_with_captions_and_sounds_of_other_clips_the_answers_fall_to_chance() -> None:
    found = read("shuffled", 40)
    # One in ten colours, six shapes, nine motions and five notes.
    for name, limit in {"colour": 0.3, "backdrop": 0.3, "kind": 0.4, "motion": 0.3, "pitch": 0.45}.items():
        assert found[name] <= limit, (name, found)

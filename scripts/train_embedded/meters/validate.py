"""Measures the meters: on the renderer's own clips, on degraded ones, and on clips with another's caption and sound.

python -m scripts.train_embedded.meters.validate --clips 200 --size 256
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from fastvideo.eval.meters.clip import Measured, measure
from fastvideo.eval.meters.verdict import judge, shares
from fastvideo.eval.world.asked import asked_by
from fastvideo.eval.world.scene import Scene
from scripts.train_embedded.meters.degrade import through_h264, worn
from scripts.train_embedded.world.held_out import Split
from scripts.train_embedded.world.render import render
from scripts.train_embedded.world.sound import sound_of
from scripts.train_embedded.world.story import story

WEARS = ("none", "blur", "h264", "shuffled")
_RATE_HZ = 24000


def measured_clips(clips: int, size_px: int, wear: str, seed: int, split: Split) -> Iterator[tuple[Scene, Measured]]:
    """First segments of ``clips`` stories with what the meters say of them, after that ``wear``.

    "blur" and "h264" degrade a clip; "shuffled" gives it the scene and the sound of the next one.
    """
    for index in range(clips):
        segment, following = (story(seed, i, num_segments=1, split=split)[0].segment for i in (index, index + 1))
        frames, samples, scene = render(segment, size_px), sound_of(segment, _RATE_HZ), segment.scene
        if wear == "blur":
            frames, samples = worn(frames, samples, np.random.default_rng([seed, index, 1]))
        elif wear == "h264":
            frames = through_h264(frames)
        elif wear == "shuffled":
            samples, scene = sound_of(following, _RATE_HZ), following.scene
        yield scene, measure(frames, samples, _RATE_HZ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--size", type=int, default=256, help="height and width in px (default 256)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories (default 0)")
    parser.add_argument("--split", type=Split, choices=list(Split), default=Split.HELD_OUT, help="which stories")
    arguments = parser.parse_args()
    for wear in WEARS:
        results = measured_clips(arguments.clips, arguments.size, wear, arguments.seed, arguments.split)
        found = shares([judge(measured, asked_by(scene)) for scene, measured in results])
        print(f"{wear:10}", "  ".join(f"{key} {100 * share:5.1f} %" for key, share in found.items()), flush=True)


if __name__ == "__main__":
    main()

import numpy as np

from fastvideo.pipelines.basic.ltx2.batch import Frames
from fastvideo.pipelines.basic.ltx2.image_compression import compressed


def a_picture() -> Frames:
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:64, 0:96]
    smooth = np.stack([x * 2, y * 3, x + y], axis=-1).astype(np.float64)
    return np.clip(smooth + generator.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)


def error(crf: int) -> float:
    picture = a_picture()
    return float(np.abs(compressed(picture, crf).astype(int) - picture).mean())


def test_a_crf_of_zero_leaves_a_picture_as_it_is() -> None:
    picture = a_picture()
    assert compressed(picture, 0) is picture


def test_an_odd_row_and_column_are_cut_off() -> None:
    assert compressed(a_picture()[:33, :31], 20).shape == (32, 30, 3)


def test_a_higher_crf_loses_more_of_the_grain_but_not_the_picture() -> None:
    assert compressed(a_picture(), 33).shape == (64, 96, 3)
    errors = [error(crf) for crf in (5, 33, 51)]
    assert errors == sorted(errors)
    assert 1 < errors[0] < 8
    assert 6 < errors[1] < 20
    assert errors[2] < 40

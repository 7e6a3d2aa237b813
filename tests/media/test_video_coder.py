from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

import fastvideo.media.video_coder as video_coder
from fastvideo.api.errors import EncodeError
from fastvideo.media.video_coder import VideoCoder, choose_encoder


@pytest.fixture(autouse=True)
def _fresh_trials() -> None:
    video_coder._passes_trial.cache_clear()


def coder(encoder: str = "libx264") -> VideoCoder:
    return VideoCoder(encoder, width=64, height=48, rate=Fraction(24), gop_frames=3, preset="ultrafast")


def test_each_picture_comes_out_as_it_goes_in() -> None:
    subject = coder()
    pictures = np.random.default_rng(0).integers(0, 256, (7, 48, 64, 3), dtype=np.uint8)
    coded = [subject.code(subject.convert(picture)) for picture in pictures]
    assert [len(out) for out in coded] == [1] * 7
    assert [out[0].keyframe for out in coded] == [True, False, False, True, False, False, True]
    assert subject.flush() == []


def test_the_parameter_sets_are_constrained_baseline_by_default() -> None:
    assert coder().parameter_sets.codec.startswith("avc1.42c0")


def test_an_encoder_named_by_the_operator_is_not_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_coder, "VideoCoder", None)
    assert choose_encoder("libx264", width=64, height=48) == "libx264"
    assert choose_encoder("h264_nvenc", width=64, height=48) == "h264_nvenc"


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, libx264 or h264_nvenc, got 'mpeg4'"):
        choose_encoder("mpeg4", width=64, height=48)


class TrialCoder:
    """Stands for NVENC on a machine where it opens; ``pictures`` is how many of the trial's come out."""

    tried: list[tuple[str, int, int]]
    pictures = 2

    def __init__(self, encoder: str, *, width: int, height: int, **_: Any) -> None:
        self.tried.append((encoder, width, height))

    def convert(self, picture: Any) -> object:
        return picture

    def code(self, frame: object) -> list[object]:
        return []

    def flush(self) -> list[object]:
        return [object()] * self.pictures


class RefusingCoder(TrialCoder):
    def __init__(self, encoder: str, **size: Any) -> None:
        super().__init__(encoder, **size)
        raise EncodeError("no such device")


@pytest.mark.parametrize(
    ("kind", "pictures", "chosen"),
    [(TrialCoder, 2, "h264_nvenc"), (TrialCoder, 1, "libx264"), (RefusingCoder, 2, "libx264")],
)
def test_auto_takes_nvenc_only_where_it_codes_two_pictures(
    kind: type[TrialCoder], pictures: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrialCoder, "tried", [], raising=False)
    monkeypatch.setattr(kind, "pictures", pictures)
    monkeypatch.setattr(video_coder, "VideoCoder", kind)
    assert [choose_encoder("auto", width=640, height=352) for _ in range(3)] == [chosen] * 3
    assert TrialCoder.tried == [("h264_nvenc", 640, 352)]


def test_an_encoder_that_cannot_run_here_is_an_encode_error_with_its_size() -> None:
    with pytest.raises(EncodeError, match="mpeg4 could not be opened for 64x48 at 24 fps"):
        coder("mpeg4")
    with pytest.raises(EncodeError, match="no_such_encoder could not be opened"):
        coder("no_such_encoder")


class FailingContext:
    def encode(self, frame: object) -> list[object]:
        raise av.error.ExternalError(542398533, "Generic error in an external library")


def test_a_failure_inside_the_library_names_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = coder()
    picture = subject.convert(np.zeros((48, 64, 3), np.uint8))
    subject.code(picture)
    monkeypatch.setattr(subject, "_context", FailingContext())
    with pytest.raises(EncodeError, match="libx264 failed on picture 2"):
        subject.code(picture)
    with pytest.raises(EncodeError, match="libx264 failed at the end"):
        subject.flush()

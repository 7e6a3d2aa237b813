"""Our pipeline and diffusers' are compared on the same clip, and what is written says how they compare."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pipeline import RATIO_KEY, measure, ratio_to_diffusers
from benchmarks.pipeline_model import ModelSize
from benchmarks.pipeline_sides import STAGES, Clip, agreement_db
from benchmarks.report import Effort, Report


def test_both_make_the_same_clip_and_the_smaller_ratio_is_written(tmp_path: Path) -> None:
    report = measure(Effort.QUICK)
    ratio = ratio_to_diffusers(report)
    path = report.write(tmp_path / "pipeline.json", {RATIO_KEY: ratio})
    written = json.loads(path.read_text("utf-8"))
    modes = written["details"]["modes"]
    assert list(modes) == ["eager", "compiled"]
    assert written["ratio_to_diffusers"] == min(found["ratio"] for found in modes.values()) > 0
    for found in modes.values():
        assert found["ratio"] == pytest.approx(found["diffusers"]["total_s"] / found["ours"]["total_s"])
        # Pictures are compared with unrounded ones: 59 dB is all that eight bits hold.
        pictures_db, sound_db = found["agreement_db"]
        assert pictures_db > 57
        assert sound_db > 60
        for side in (found["ours"], found["diffusers"]):
            stages_s = [side[f"{stage}_s"] for stage in STAGES]
            assert min(stages_s) > 0
            assert sum(stages_s) == pytest.approx(side["total_s"], rel=0.2)
            assert side["peak_memory_bytes"] >= 0
            assert side["realtime_factor"] > 0
    assert Report.read(path).figures == report.figures


def test_clips_that_differ_are_told_apart() -> None:
    pictures = np.full((2, 4, 4, 3), 100.0)
    sound = np.ones((2, 10), dtype=np.float32)
    clip = Clip(pictures, sound, {}, 1.0, 1.0)
    assert agreement_db(clip, clip) == (200.0, 200.0)
    assert agreement_db(clip, replace(clip, pictures=pictures + 25.5)) == pytest.approx((20.0, 200.0))
    assert agreement_db(clip, replace(clip, sound=1.1 * sound))[1] == pytest.approx(20.8, abs=0.1)
    with pytest.raises(ValueError, match="shape"):
        agreement_db(clip, replace(clip, pictures=pictures[:1]))
    with pytest.raises(ValueError, match="length"):
        agreement_db(clip, replace(clip, sound=sound[:, :5]))


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_the_full_size_is_that_of_the_published_transformer(version: str) -> None:
    config = ModelSize(version).config()
    assert (config.transformer.num_layers, config.transformer.dim, config.transformer.audio_dim) == (48, 4096, 2048)
    assert config.connectors.num_text_hidden_states == 49
    assert config.connectors.caption_channels == 3840


@pytest.mark.parametrize("wrong", [{"width": 100}, {"width": 8192}, {"version": "2.5"}, {"text_tokens": 100}])
def test_a_size_that_no_model_has_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(ModelSize(), **wrong)  # type: ignore[arg-type]

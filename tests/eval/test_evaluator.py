"""One call measures a file or an array by several metrics, and says clearly what it cannot."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from fastvideo.api.errors import DependencyMissing, EvaluationError
from fastvideo.eval import Better, Metric, Score, create_evaluator, get_metric, list_metrics, register, registry
from fastvideo.eval.clip import Clip

WITHOUT_DOWNLOADS = {
    *("psnr", "ssim", "ms_ssim", "temporal_flicker", "join_continuity", "motion_smoothness", "loudness", "av_sync"),
    "prompt_adherence",
}


@pytest.fixture
def spare_registry(monkeypatch):
    monkeypatch.setattr(registry, "_metrics", dict(registry._metrics))


def test_metrics_are_listed_by_group_with_unit_and_direction():
    by_name = {metric.name: metric for metric in list_metrics()}
    assert set(by_name) >= WITHOUT_DOWNLOADS
    assert {metric.name for metric in list_metrics("audio")} == {"loudness", "av_sync"}
    assert (by_name["psnr"].unit, by_name["psnr"].better) == ("dB", Better.HIGHER)
    assert (by_name["loudness"].unit, by_name["loudness"].better) == ("LUFS", Better.NEITHER)
    with pytest.raises(ValueError, match="there is no group 'sound' of metrics; groups are common"):
        list_metrics("sound")
    with pytest.raises(ValueError, match="there is no metric 'pnsr'; metrics are psnr, ssim"):
        get_metric("pnsr")


def test_listing_metrics_imports_neither_torch_nor_ffmpeg_nor_a_metric():
    code = (
        "import sys, fastvideo.eval as e\ne.list_metrics()\n"
        "heavy = {'torch', 'av', 'numpy', 'fastvideo.eval.metrics.psnr'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_measuring_without_networks_does_not_import_torch():
    code = (
        "import sys\nimport numpy as np\nfrom fastvideo.eval import create_evaluator\n"
        f"names = {sorted(WITHOUT_DOWNLOADS - {'prompt_adherence', 'join_continuity', 'loudness', 'av_sync'})!r}\n"
        "frames = np.zeros((3, 176, 176, 3), np.uint8)\n"
        "create_evaluator(names).evaluate(frames, frames)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_is_compared_with_its_reference(tmp_path, texture, worn, video_file):
    frames = texture(3, 32, 48)
    noise = worn(frames, 9)
    one, other = video_file(tmp_path / "a.mkv", frames), video_file(tmp_path / "b.mkv", noise)
    found = create_evaluator("psnr, ssim").evaluate(other, one)
    assert list(found) == ["psnr", "ssim"]
    assert found["psnr"].score == pytest.approx(
        -10 * math.log10(np.mean(((frames / 255.0) - noise / 255.0) ** 2)), abs=1e-3
    )
    assert (found["ssim"].unit, found["ssim"].better) == ("", Better.HIGHER)
    assert found == create_evaluator(["psnr", "ssim"]).evaluate(noise, frames)


def test_a_result_is_json_without_numbers_that_json_has_not(texture):
    frames = texture(2, 16, 16)
    result = create_evaluator("psnr").evaluate(frames, frames)["psnr"]
    assert result.score == math.inf
    text = json.dumps(result.as_json(), allow_nan=False)
    assert json.loads(text) == {
        "score": None,
        "unit": "dB",
        "better": "higher",
        "details": {"min": None, "mean_squared_error": 0.0, "frames": 2, "reason": "the clips are identical"},
    }


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("ssim", "ssim needs a reference"),
        ("prompt_adherence", "prompt_adherence needs the prompt"),
        ("loudness", "loudness needs sound, which the clip has not"),
        ("join_continuity", "join_continuity needs the times at which segments join"),
    ],
)
def test_what_a_named_metric_lacks_is_an_error_and_of_all_metrics_a_reason(texture, metric, words):
    frames = texture(3, 16, 16)
    with pytest.raises(EvaluationError, match=words):
        create_evaluator(metric).evaluate(frames)
    result = create_evaluator("all", skip_missing_deps=True).evaluate(frames)[metric]
    assert result.score is None
    assert words in result.details["reason"]


def test_all_metrics_measure_what_they_can(texture):
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 48000)).astype(np.float32)
    found = create_evaluator("all", skip_missing_deps=True).evaluate(
        Clip(texture(6, 32, 32), 6, sound, 48000), texture(6, 32, 32, seed=2), fps=6, joins_s=(0.5,)
    )
    assert {name for name, result in found.items() if result.score is not None} >= {
        *("psnr", "ssim", "temporal_flicker", "join_continuity", "loudness"),
    }
    assert "at least 176 px" in found["ms_ssim"].details["reason"]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((2, 8, 8, 3)), r"type uint8, got \[2, 8, 8, 3\] and float64"),
        (np.zeros((8, 8, 3), np.uint8), r"shape \[T, H, W, 3\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), "at least one frame"),
    ],
)
def test_arrays_that_are_no_frames_are_refused(frames, words):
    with pytest.raises(EvaluationError, match=words):
        create_evaluator("temporal_flicker").evaluate(frames)


def test_what_cannot_be_honoured_is_refused():
    with pytest.raises(ValueError, match="expected num_gpus 1, got 2"):
        create_evaluator("psnr", num_gpus=2)
    with pytest.raises(ValueError, match="expected compile False"):
        create_evaluator("psnr", compile=True)


def test_a_metric_of_one_s_own_is_measured_beside_the_others(spare_registry, texture):
    def load(device):
        assert device == "cpu"
        return lambda sample: Score(float(sample.video.frames.mean()), {"frames": sample.video.num_frames})

    register(Metric("brightness", "mine", "how bright it is", load, "levels", Better.NEITHER))
    frames = texture(3, 16, 16)
    found = create_evaluator("brightness,temporal_flicker", device="cpu").evaluate(frames)
    assert found["brightness"].score == pytest.approx(frames.mean())
    assert found["brightness"].unit == "levels"
    with pytest.raises(ValueError, match="there is a metric 'brightness' already"):
        register(Metric("brightness", "mine", "again", load))


def test_a_score_is_never_nan():
    with pytest.raises(ValueError, match="never NaN"):
        Score(float("nan"))


def test_a_package_that_is_absent_is_named_with_how_to_install_it(spare_registry):
    register(
        Metric(
            "far",
            "far",
            "away",
            lambda device: lambda sample: Score(1.0),
            packages=("no_such_package_here",),
            install="Install it with: pip install far",
        )
    )
    with pytest.raises(DependencyMissing, match=r"which is not installed\. Install it with: pip install far"):
        create_evaluator("far")
    assert create_evaluator("far", skip_missing_deps=True).left_out.keys() == {"far"}

"""``fastvideo eval`` lists metrics without loading any, and measures files."""

import json
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from fastvideo.entrypoints.cli.eval import matching_files
from fastvideo.entrypoints.cli.main import main


def write(path, level=0):
    """Six frames of a moving bar, brighter by ``level``, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = 32, 32, "bgr0"
        for number in range(6):
            frame = np.full((32, 32, 3), 50 + level, np.uint8)
            frame[:, 3 * number : 3 * number + 6] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def videos(tmp_path):
    return write(tmp_path / "a.mkv"), write(tmp_path / "b.mkv", level=5)


def test_list_shows_metrics_of_a_group(capsys):
    assert main(["eval", "list", "--group", "audio"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["loudness", "audio"], ["av_sync", "audio"]]
    assert main(["eval", "list", "--json"]) == 0
    by_name = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert by_name["psnr"]["unit"] == "dB"
    assert by_name["psnr"]["needs"] == ["reference"]
    assert main(["eval", "list", "--group", "nonsense"]) == 1
    assert "there is no group 'nonsense'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["eval", "list"], ["eval"], ["eval", "--help"], ["eval", "run", "--help"]])
def test_list_and_help_import_neither_torch_nor_ffmpeg(words):
    code = (
        "import sys\nfrom fastvideo.entrypoints.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'av', 'numpy', 'transformers'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_no_action_prints_help(capsys):
    assert main(["eval"]) == 0
    assert "usage: fastvideo eval" in capsys.readouterr().out


def test_run_compares_each_video_with_its_reference_and_the_rest_with_the_first(videos, tmp_path, capsys):
    one, other = videos
    written = tmp_path / "scores.json"
    words = ["--metric", "psnr,temporal_flicker", "--reference", str(one), "--json", "--output", str(written)]
    assert main(["eval", "run", *words, str(one), str(other)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads(written.read_text())
    assert [row["video"] for row in rows] == [str(one), str(other)]
    same, brighter = (row["scores"]["psnr"] for row in rows)
    assert same["score"] is None
    assert same["details"]["reason"] == "the clips are identical"
    # 26 of 32 columns differ by 5.
    assert brighter["score"] == pytest.approx(10 * np.log10(255**2 / (25 * 26 / 32)), abs=0.01)
    assert (brighter["unit"], brighter["better"]) == ("dB", "higher")


def test_run_prints_lines_for_people(videos, capsys):
    one, other = videos
    assert main(["eval", "run", "--videos", str(other), "--metrics", "psnr,ssim", "--reference", str(one)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(other)
    assert lines[1] == "  psnr  35.05 dB"
    assert lines[2].startswith("  ssim  0.9")


def test_all_metrics_leave_out_what_they_cannot_measure_and_say_so(videos, capsys):
    assert main(["eval", "run", str(videos[0])]) == 0
    printed = capsys.readouterr()
    assert "psnr needs a reference" in printed.out
    assert "loudness needs sound" in printed.out
    assert "left out: lpips needs lpips" in printed.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "expected at least one video"),
        (["absent-*.mp4"], "no video matches absent-*.mp4"),
        (["{a}", "--metrics", "pnsr"], "there is no metric 'pnsr'"),
        (["{a}", "--metrics", "psnr"], "psnr needs a reference"),
        (["{a}", "--metrics", "loudness"], "a.mkv has not"),
        (["{a}", "--metrics", "lpips", "--reference", "{b}"], "Install it with: pip install lpips torchvision"),
        (["{a}", "--joins", "soon"], "--joins takes seconds with commas between them, got 'soon'"),
        (["{a}", "--reference", "{a}", "--reference", "{b}"], "--reference is given 2 times for 1 videos"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(videos, capsys, words, sentence):
    one, other = videos
    assert main(["eval", "run", *(word.format(a=one, b=other) for word in words)]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_files_are_found_once_by_name_pattern_and_folder(videos, tmp_path):
    one, other = videos
    (tmp_path / "notes.txt").touch()
    assert matching_files([str(other), str(tmp_path), str(tmp_path / "*.mkv")]) == [other, one]

"""docs/client.md: its examples run, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import av
import pytest

from fastvideo import client as package
from fastvideo.client import AsyncStream, Stream

pytestmark = pytest.mark.timeout(120)

PAGE = (Path(__file__).resolve().parents[2] / "docs/client.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def run(number: int, served: str) -> None:
    code = EXAMPLES[number].replace("http://127.0.0.1:8000", served)
    exec(compile(code, f"docs/client.md, example {number}", "exec"), {"__name__": "example"})


def pictures(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_first_example_saves_a_stream_that_was_steered(served: str) -> None:
    run(0, served)
    assert 48 <= pictures("ball.mp4") <= 54


def test_each_scene_is_a_file(served: str) -> None:
    run(1, served)
    assert [pictures(f"scene-{number}.mp4") for number in range(2)] == [24, 24]


def test_frames_are_watched_and_recorded(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(2, served)
    assert capsys.readouterr().out.splitlines() == ["(64, 64, 3) a red ball on blue", "True 1.0 s of sound"]
    assert pictures("watched.mp4") == 24


def test_videos_and_images_are_made(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(3, served)
    assert "completed 100 %" in capsys.readouterr().out
    assert pictures("star.mp4") == 24
    assert Path("ring.png").read_bytes().startswith(b"\x89PNG")


def test_two_streams_and_a_video_go_with_asyncio(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(4, served)
    assert capsys.readouterr().out == "[24, 24]\n"
    assert pictures("ring.mp4") == 24


def test_a_server_that_is_not_there_is_told(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(5, served)
    assert "expected a fastvideo server at ws://127.0.0.1:9/v1/stream, got:" in capsys.readouterr().out
    assert len(EXAMPLES) == 6


def test_what_the_page_names_is_there() -> None:
    tables = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for line in tables for name in re.findall(r"`(\w+)", line.split("|")[1])}
    streams = {name for name in named if name[0].islower()}
    assert streams == {name for name in dir(Stream) if not name.startswith("_")}
    assert streams <= set(dir(AsyncStream))
    assert {name for name in named if name[0].isupper()} <= set(package.__all__)

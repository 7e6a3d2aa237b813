from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.schema import OutputConfig
from fastvideo.entrypoints.output_files import file_name, write_video


def test_a_folder_gets_a_file_named_after_the_prompt(tmp_path: Path) -> None:
    file = write_video(b"data", OutputConfig(output_path=str(tmp_path / "new" / "folder")), "A fox: at night!")
    assert file == tmp_path / "new" / "folder" / "A fox_ at night.mp4"
    assert file.read_bytes() == b"data"


def test_a_name_of_its_own_wins_over_the_prompt(tmp_path: Path) -> None:
    output = OutputConfig(output_path=str(tmp_path), output_video_name="clip.mp4")
    assert write_video(b"", output, "a fox").name == "clip.mp4"


def test_a_path_that_ends_in_mp4_is_the_file(tmp_path: Path) -> None:
    assert write_video(b"", OutputConfig(output_path=str(tmp_path / "out.mp4")), "a fox") == tmp_path / "out.mp4"


def test_a_taken_name_is_numbered_and_never_written_over(tmp_path: Path) -> None:
    output = OutputConfig(output_path=str(tmp_path))
    files = [write_video(data, output, "fox") for data in (b"1", b"2", b"3")]
    assert [file.name for file in files] == ["fox.mp4", "fox_1.mp4", "fox_2.mp4"]
    assert [file.read_bytes() for file in files] == [b"1", b"2", b"3"]


@given(st.text(max_size=300))
def test_any_prompt_gives_one_safe_name(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name) <= 100
    assert not name.startswith(".")
    assert not set(name) & set('/\\\0:*?"<>|\n')


@pytest.mark.parametrize("text", ["", "..", "///", "\n", "../../etc/passwd"])
def test_names_never_lead_out_of_the_folder(tmp_path: Path, text: str) -> None:
    assert write_video(b"", OutputConfig(output_path=str(tmp_path)), text).parent == tmp_path

"""The folder: what is found there after a start, what goes, and that nobody else writes to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastvideo.api.errors import ConfigValidationError


def store(shelf: Any, clip: Any, name: str, ended_at_s: float, segments: int = 1) -> Any:
    recording = shelf.recording(name)
    recording.add_event("ltx2_segment_start", ended_at_s - 1, {"prompt": f"prompt {name}"})
    recording.add_media(clip.init, ended_at_s - 1)
    for fragments in clip.segments[:segments]:
        for fragment in fragments:
            recording.add_media(fragment, ended_at_s)
    recording.add_event("ltx2_segment_complete", ended_at_s, {})
    recording.finish("stop_requested", ended_at_s)
    return recording.info


def test_what_was_recorded_is_known_again_after_a_start(shelf: Any, clip: Any) -> None:
    stored = store(shelf, clip, "a", 50.0, 2)
    library = shelf.library()
    info = library.get(shelf.id("a"))
    assert info == stored.__class__(**{**stored.__dict__, "started_at_s": info.started_at_s})
    library.close()


@pytest.mark.parametrize("left", [0, 1, 7, 8, 100])
def test_a_recording_whose_server_was_killed_is_ended_after_its_last_whole_fragment(
    shelf: Any, clip: Any, played: Callable[..., Any], left: int
) -> None:
    recording = shelf.recording()
    recording.add_event("ltx2_segment_start", 5.0, {"prompt": "first"})
    recording.add_media(clip.init, 5.0)
    for fragment in clip.segments[0]:
        recording.add_media(fragment, 5.0)
    recording.media.close()
    path = shelf.folder / shelf.id("a")
    with (path / "recording.mp4").open("ab") as file:
        file.write(clip.segments[1][0][:left])
    with (path / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"ltx2_segment_comp')

    library = shelf.library()
    info = library.get(shelf.id("a"))
    assert (info.reason, info.duration_s, info.prompt, info.poster) == ("interrupted", 1.0, "first", True)
    assert info.media_bytes == len(shelf.media())
    assert len(played(shelf.media())) == 24
    assert shelf.events()[-1]["event"] == "recording_end"
    library.close()
    again = shelf.library()
    assert again.get(shelf.id("a")) == info
    again.close()


def test_what_cannot_be_played_is_gone_after_a_start_and_other_things_stay(shelf: Any, clip: Any) -> None:
    recording = shelf.recording("a")
    recording.add_media(clip.init, 5.0)
    (shelf.folder / shelf.id("b")).mkdir()
    (shelf.folder / ".gone-1").mkdir()
    (shelf.folder / "notes").mkdir()
    library = shelf.library()
    assert library.newest(10) == ([], False)
    assert sorted(path.name for path in shelf.folder.iterdir()) == [".lock", "notes"]
    library.close()


def test_the_newest_come_first_page_by_page(shelf: Any, clip: Any) -> None:
    for number in range(5):
        shelf.now_s = 100.0 + number
        store(shelf, clip, str(number), 200.0 - number)
    library = shelf.library()
    everything, more = library.newest(5)
    assert not more
    assert len(everything) == 5
    assert everything == sorted(everything, key=lambda info: info.started_at_s, reverse=True)
    pages, after = [], None
    while True:
        page, more = library.newest(2, after)
        pages += page
        after = page[-1].id
        if not more:
            break
    assert pages == everything
    assert library.newest(2, "gone") == ([], False)
    # One of another server, which began when the second of ours did, and is before or behind it by its id.
    second = everything[1]
    for other, rest in (("z", everything[1:]), ("", everything[2:])):
        assert library.newest(9, other, second.started_at_s) == (rest, False)
    library.close()


def test_room_is_made_by_removing_the_oldest_that_ended(shelf: Any, clip: Any) -> None:
    sizes = {name: store(shelf, clip, name, 100.0 + number).total_bytes for number, name in enumerate("abc")}
    library = shelf.library(max_bytes=sum(sizes.values()))
    assert library.make_room(0, False, now_s=200.0)
    assert library.get(shelf.id("a")) is not None
    assert library.make_room(1, False, now_s=200.0)
    assert [library.get(shelf.id(name)) is not None for name in "abc"] == [False, True, True]
    assert not (shelf.folder / shelf.id("a")).exists()
    assert not library.make_room(sum(sizes.values()) + 1, False, now_s=200.0)
    library.close()


def test_there_are_never_more_than_so_many_and_none_is_older_than_so_much(shelf: Any, clip: Any) -> None:
    for number, name in enumerate("abcd"):
        store(shelf, clip, name, 100.0 + number)
    library = shelf.library(max_count=3, max_age_s=50.0)
    library.sweep(now_s=104.0)
    assert library.get(shelf.id("a")) is None
    assert len(library.newest(9)[0]) == 3
    library.sweep(now_s=152.5)
    assert [library.get(shelf.id(name)) is not None for name in "abcd"] == [False, False, False, True]
    assert library.make_room(10, True, now_s=152.5)
    library.close()


def test_two_servers_never_record_into_one_folder(shelf: Any) -> None:
    library = shelf.library()
    with pytest.raises(ConfigValidationError, match="another server records"):
        shelf.library()
    library.close()
    shelf.library().close()


def test_a_folder_that_cannot_be_had_is_a_fault_of_the_config(tmp_path: Path, shelf: Any) -> None:
    (tmp_path / "file").write_text("")
    shelf.folder = tmp_path / "file"
    with pytest.raises(ConfigValidationError, match=r"streaming\.recordings\.dir: expected a folder"):
        shelf.library()


@pytest.mark.parametrize("name", ["", "..", "../x", "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "/", "0" * 32 + "\n"])
def test_nothing_but_an_id_becomes_a_path(shelf: Any, name: str) -> None:
    library = shelf.library()
    with pytest.raises(ValueError, match="32 hex digits"):
        library.path(name)
    library.close()

"""One recording: its files can be played at any moment, and it ends before it breaks."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import Any

import av
import pytest
from PIL import Image

from fastvideo.entrypoints.streaming.recordings.recording_ends import RecordingEnds
from fastvideo.media.boxes import parse_boxes


def record(recording: Any, clip: Any, segments: int | None = None) -> None:
    """Segments as a session sends them: each with its init segment."""
    for number, fragments in enumerate(clip.segments[:segments]):
        recording.add_event("ltx2_segment_start", 1.0, {"prompt": f"prompt {number}"})
        recording.add_media(clip.init, 1.0)
        for fragment in fragments:
            recording.add_media(fragment, 1.0)
        recording.add_event("ltx2_segment_complete", 2.0, {"segment_idx": number})


def test_a_whole_session_is_one_file_with_an_index_events_and_a_poster(
    shelf: Any, clip: Any, played: Callable[..., Any]
) -> None:
    recording = shelf.recording()
    record(recording, clip)
    recording.finish("stop_requested", 9.0)
    data = shelf.media()
    kinds = [box.kind for box in parse_boxes(data)]
    assert kinds[:4] == [b"ftyp", b"moov", b"free", b"sidx"]
    assert kinds[4:] == [b"moof", b"mdat"] * len(clip.fragments)
    assert played(data) == pytest.approx([frame / 24 for frame in range(72)])
    assert [event["event"] for event in shelf.events()] == [
        "recording_start",
        *["ltx2_segment_start", "ltx2_segment_complete"] * 3,
        "recording_end",
    ]
    assert [event["media_s"] for event in shelf.events()] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert shelf.events()[1]["payload"]["prompt"] == "prompt 0"
    info = recording.info
    assert (info.duration_s, info.segments, info.prompt, info.reason) == (3.0, 3, "prompt 0", "stop_requested")
    assert (info.media_bytes, info.width_px, info.height_px) == (len(data), 64, 48)
    with Image.open(shelf.folder / info.id / "poster.jpg") as poster:
        assert (poster.format, poster.size) == ("JPEG", (64, 48))
    assert info.other_bytes == sum(
        (shelf.folder / info.id / name).stat().st_size for name in ("events.jsonl", "poster.jpg")
    )


def test_it_can_be_played_after_every_single_fragment(shelf: Any, clip: Any, played: Callable[..., Any]) -> None:
    recording = shelf.recording()
    recording.add_media(clip.init, 1.0)
    for fragment in clip.fragments:
        recording.add_media(fragment, 1.0)
        on_disk = shelf.media()
        head, size = recording.media.head()
        assert len(on_disk) == size
        # What is served has the index of what is there; what lies on the disk can be played without.
        assert len(played(on_disk)) == len(played(head + on_disk[len(head) :])) == round(recording.info.duration_s * 24)
    recording.finish("stop_requested", 2.0)
    assert shelf.media()[: len(head)] == head


class CountingFile(io.BytesIO):
    """Counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_a_player_knows_its_length_and_where_to_seek_without_reading_it(shelf: Any, large_clip: Any) -> None:
    recording = shelf.recording()
    record(recording, large_clip)
    head, _ = recording.media.head()
    growing = head + shelf.media()[len(head) :]
    recording.finish("stop_requested", 2.0)
    without = large_clip.init + b"".join(large_clip.fragments)
    for data, indexed in ((shelf.media(), True), (growing, True), (without, False)):
        file = CountingFile(data)
        # As a browser does: it reads no more than it needs to know what there is.
        options = {"probesize": "4096", "analyzeduration": "0"}
        with av.open(file, container_options=options, buffer_size=4096) as container:
            opened = file.count / len(data)
            assert container.duration == 2_000_000
            container.seek(1_900_000)
            frame = next(container.decode(video=0))
            assert 0.5 < frame.time < 2
        # The last is what it would be without an index.
        assert opened < 0.2 if indexed else opened > 0.3


def test_several_fragments_in_one_message_are_all_kept(shelf: Any, clip: Any, played: Callable[..., Any]) -> None:
    recording = shelf.recording()
    recording.add_media(clip.init, 1.0)
    recording.add_media(b"".join(clip.fragments), 1.0)
    recording.finish("stop_requested", 2.0)
    assert len(played(shelf.media())) == 72


def test_a_segment_that_is_made_again_is_kept_once(shelf: Any, clip: Any) -> None:
    once, again = shelf.recording("a"), shelf.recording("b")
    for recording in (once, again):
        record(recording, clip, 2)
    record(again, clip)
    record(once, clip)
    for recording in (once, again):
        recording.finish("stop_requested", 2.0)
    assert shelf.media("a") == shelf.media("b")


def test_a_session_that_is_resumed_later_goes_on_in_the_same_file(
    shelf: Any, clip: Any, played: Callable[..., Any]
) -> None:
    first = shelf.recording()
    record(first, clip, 1)
    first.finish("client_left", 2.0)
    second = shelf.recording()
    second.add_media(clip.init, 3.0)
    for fragment in clip.fragments:
        second.add_media(fragment, 3.0)
    second.finish("stop_requested", 4.0)
    assert len(played(shelf.media())) == 72
    assert [event["event"] for event in shelf.events()].count("recording_start") == 2


def test_a_session_that_comes_from_another_server_is_not_recorded_from_its_middle(shelf: Any, clip: Any) -> None:
    recording = shelf.recording()
    recording.add_media(clip.init, 1.0)
    with pytest.raises(RecordingEnds, match="resumed"):
        recording.add_media(clip.segments[1][0], 1.0)
    recording.finish("resumed", 2.0)
    assert recording.info.media_bytes == 0


def test_another_codec_or_size_ends_it(shelf: Any, clip: Any, other_clip: Any) -> None:
    recording = shelf.recording()
    record(recording, clip, 1)
    with pytest.raises(RecordingEnds, match="format_changed"):
        recording.add_media(other_clip.init, 2.0)
    recording.finish("format_changed", 2.0)
    again = shelf.recording()
    with pytest.raises(RecordingEnds, match="format_changed"):
        again.add_media(other_clip.init, 3.0)


@pytest.mark.parametrize("wrong", ["no init", "no boxes", "a gap"])
def test_media_that_is_no_stream_ends_it_and_leaves_what_was_there(shelf: Any, clip: Any, wrong: str) -> None:
    recording = shelf.recording()
    if wrong != "no init":
        record(recording, clip, 1)
    data = {"no init": clip.fragments[0], "no boxes": b"0123456789", "a gap": clip.segments[2][0]}[wrong]
    before = recording.info.media_bytes
    with pytest.raises(RecordingEnds, match="media_invalid"):
        recording.add_media(data, 2.0)
    recording.finish("media_invalid", 2.0)
    assert recording.info.media_bytes == before


def test_it_ends_at_its_own_bound_and_is_never_larger(shelf: Any, clip: Any, played: Callable[..., Any]) -> None:
    bound = len(clip.init) + 16_384 + sum(map(len, clip.segments[0])) + 4000
    recording = shelf.recording(max_bytes=bound)
    with pytest.raises(RecordingEnds, match="session_limit"):
        record(recording, clip)
    recording.finish("session_limit", 2.0)
    assert recording.info.total_bytes <= bound + 500, "beyond the bound by more than the line that tells of the end"
    assert len(played(shelf.media())) == round(recording.info.duration_s * 24) > 0


def test_events_alone_fill_no_memory(shelf: Any) -> None:
    recording = shelf.recording()
    with pytest.raises(RecordingEnds, match="session_limit"):
        for _ in range(1000):
            recording.add_event("error", 1.0, {"message": "x" * 10_000})


def test_without_a_fragment_nothing_is_left_that_could_be_played(shelf: Any, clip: Any) -> None:
    recording = shelf.recording()
    recording.add_media(clip.init, 1.0)
    recording.finish("client_left", 2.0)
    assert recording.info.media_bytes == 0


def test_it_ends_when_there_is_no_room_in_the_folder(shelf: Any, clip: Any) -> None:
    asked: list[tuple[int, bool]] = []

    def make_room(more: int, new: bool) -> bool:
        asked.append((more, new))
        return len(asked) < 4

    recording = shelf.recording(make_room=make_room)
    with pytest.raises(RecordingEnds, match="storage_limit"):
        record(recording, clip)
    assert [new for _, new in asked] == [True, False, False, False]


def test_a_disk_that_fills_up_in_the_middle_of_a_fragment_leaves_whole_ones(
    shelf: Any, clip: Any, played: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = shelf.recording()
    record(recording, clip, 1)
    whole, true_pwrite = shelf.media(), os.pwrite
    room = [100]

    def pwrite(fd: int, data: Any, at: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = true_pwrite(fd, bytes(data)[: room[0]], at)
        room[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with pytest.raises(OSError, match="No space left"):
            recording.add_media(clip.segments[1][0], 2.0)
    assert shelf.media() == whole
    recording.finish("disk_full", 2.0)
    assert len(played(shelf.media())) == 24


def test_the_poster_is_small_and_a_broken_picture_makes_none(shelf: Any, clip: Any) -> None:
    from fastvideo.entrypoints.streaming.recordings.poster import make_poster

    assert make_poster(clip.init, clip.fragments[0]) is not None
    assert make_poster(clip.init, b"") is None
    assert make_poster(b"nothing", b"at all") is None

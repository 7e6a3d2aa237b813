"""A file that grows block by block."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from fastvideo.media.incremental_writer import IncrementalVideoWriter

FPS, RATE_HZ = 24, 24000


def block(seed: int, count: int = 6) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames of one grey each, a tone that goes on from block to block, and nothing else."""
    frames = np.full((count, 48, 64, 3), 40 * (seed + 1), np.uint8)
    times_s = np.arange(count * RATE_HZ // FPS) / RATE_HZ + seed * count / FPS
    return frames, np.tile(0.3 * np.sin(2 * np.pi * 440 * times_s), (2, 1)).astype(np.float32)


def decoded(path: Path) -> tuple[list[int], NDArray[np.float32]]:
    """The mean of each frame, and the sound [channels, samples]."""
    with av.open(str(path)) as container:
        levels = [round(float(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sound = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return levels, np.concatenate(sound, axis=1)


def levels_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [round(float(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)]


def test_blocks_become_one_video_with_one_sound(tmp_path: Path) -> None:
    with IncrementalVideoWriter(tmp_path / "new" / "story.mp4", FPS) as writer:
        for seed in range(3):
            frames, sound = block(seed)
            assert writer.add_frames(frames, sound, RATE_HZ) is not None
    levels, sound = decoded(writer.path)
    assert len(levels) == 18
    np.testing.assert_allclose(levels, np.repeat([40, 80, 120], 6), atol=3)
    # As long as the pictures, to the next AAC frame; and one tone throughout: no step is larger than the tone's own.
    assert 0 <= sound.shape[1] - 18 * 48000 // FPS < 1024
    heard = sound[:, 2048 : 17 * 48000 // FPS]
    assert np.abs(np.diff(heard, axis=1)).max() < 1.2 * 0.3 * 2 * np.pi * 440 / 48000


def test_the_file_can_be_played_while_it_grows_and_each_block_by_itself(tmp_path: Path) -> None:
    writer = IncrementalVideoWriter(tmp_path / "story.mp4", FPS, tmp_path / "blocks")
    for seed in range(2):
        written = writer.add_frames(*block(seed), RATE_HZ)
        assert written is not None
        assert written.result(60) == tmp_path / "blocks" / f"b{seed}.mp4"
        assert len(levels_of(writer.path)) == 6 * (seed + 1)
        assert len(levels_of(written.result())) == 6
    writer.close()
    writer.close()


def test_without_blocks_there_is_no_file_and_no_frames_are_no_block(tmp_path: Path) -> None:
    writer = IncrementalVideoWriter(tmp_path / "story.mp4", FPS)
    frames, sound = block(0)
    assert writer.add_frames(frames[:0], sound, RATE_HZ) is None
    writer.close()
    assert not writer.path.exists()
    with pytest.raises(ValueError, match="closed"):
        writer.add_frames(frames, sound, RATE_HZ)


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "story.mp4").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        IncrementalVideoWriter(tmp_path / "story.mp4", FPS)
    assert (tmp_path / "story.mp4").read_bytes() == b"mine"


def test_blocks_of_another_form_are_refused(tmp_path: Path) -> None:
    frames, sound = block(0)
    with IncrementalVideoWriter(tmp_path / "story.mp4", FPS) as writer:
        writer.add_frames(frames, sound, RATE_HZ)
        for other in (frames[:, :32], frames[:, :, :32]):
            with pytest.raises(ValueError, match="blocks like the first"):
                writer.add_frames(other, sound, RATE_HZ)
        with pytest.raises(ValueError, match="with sound"):
            writer.add_frames(frames)


def test_what_cannot_be_coded_ends_the_file_with_what_came_before(tmp_path: Path) -> None:
    frames, sound = block(0)
    writer = IncrementalVideoWriter(tmp_path / "story.mp4", FPS)
    writer.add_frames(frames, sound, RATE_HZ)
    broken = writer.add_frames(frames, np.full((5, 10), 0.0, np.float32), RATE_HZ)
    after = writer.add_frames(frames, sound, RATE_HZ)
    assert broken is not None
    assert after is not None
    failure = broken.exception(60)
    assert isinstance(failure, ValueError)
    assert after.exception(60) is failure
    with pytest.raises(ValueError, match=str(failure)[:10]):
        writer.close()
    assert len(levels_of(writer.path)) == 6

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.errors import GenerationFailed
from fastvideo.entrypoints.streaming.frame_stack import FrameStack
from fastvideo.entrypoints.streaming.frames_view import FramesView

FRAMES = np.arange(12 * 2 * 3 * 3, dtype=np.uint8).reshape(12, 2, 3, 3)


def views(cuts: list[int], *, total: int | None) -> list[FramesView]:
    bounds = sorted({0, len(FRAMES), *cuts})
    return [FramesView(FRAMES[first:end], first, total) for first, end in pairwise(bounds)]


def put(stack: FrameStack, view: FramesView) -> None:
    np.copyto(stack.place(view), view.frames)


@given(st.lists(st.integers(1, 11)), st.lists(st.integers(1, 11)), st.integers(0, 12), st.sampled_from([None, 12]))
def test_frames_come_together_also_when_another_worker_begins_again(cuts, later_cuts, before, total) -> None:
    stack = FrameStack()
    for view in views(cuts, total=total)[:before]:
        put(stack, view)
    for view in views(later_cuts, total=total):
        put(stack, view)
    whole = stack.whole()
    np.testing.assert_array_equal(whole, FRAMES)
    assert whole.dtype == np.uint8
    assert not np.shares_memory(whole, FRAMES)


def test_a_result_may_have_no_frames() -> None:
    assert FrameStack().whole() is None


def test_frames_that_do_not_follow_are_an_error_and_never_whatever_memory_held() -> None:
    stack = FrameStack()
    with pytest.raises(GenerationFailed, match="expected frame 0"):
        stack.place(FramesView(FRAMES[3:5], 3, 12))
    put(stack, FramesView(FRAMES[:3], 0, 12))
    with pytest.raises(GenerationFailed, match="expected frame 3"):
        stack.place(FramesView(FRAMES[4:5], 4, 12))
    with pytest.raises(GenerationFailed, match="expected frame 3"):
        stack.place(FramesView(FRAMES[3:5], 3, 40))
    with pytest.raises(GenerationFailed, match="one size"):
        stack.place(FramesView(FRAMES[3:5, :1], 3, 12))
    with pytest.raises(GenerationFailed, match="3 of 12"):
        stack.whole()


def test_a_view_is_released_once_and_not_used_after_that() -> None:
    released: list[int] = []
    with FramesView(FRAMES[:1], 0, 1, on_release=lambda: released.append(1)) as view:
        assert view.frames is not None
    view.release()
    assert released == [1]
    with pytest.raises(RuntimeError, match="released"):
        _ = view.frames

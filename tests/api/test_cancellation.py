import threading

import pytest

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationCancelled


def test_whoever_asked_is_called_once_and_latecomers_at_once():
    token, called = CancellationToken(), []
    token.on_cancel(lambda: called.append("early"))
    assert called == []
    token.cancel()
    token.cancel()
    token.on_cancel(lambda: called.append("late"))
    assert called == ["early", "late"]
    with pytest.raises(GenerationCancelled):
        token.raise_if_cancelled()


def test_no_callback_is_lost_between_threads():
    for _ in range(200):
        token, called = CancellationToken(), []
        thread = threading.Thread(target=token.cancel)
        thread.start()
        token.on_cancel(lambda called=called: called.append(1))
        thread.join()
        assert called == [1]

from fastvideo.api.schema import GenerationRequest
from fastvideo.api.upcoming_text import UpcomingText


def test_only_the_newest_request_is_taken_and_only_once() -> None:
    upcoming = UpcomingText()
    assert upcoming.take() is None
    old, new = GenerationRequest(prompt="old"), GenerationRequest(prompt="new")
    upcoming.tell(old)
    upcoming.tell(new)
    assert upcoming.take() is new
    assert upcoming.take() is None

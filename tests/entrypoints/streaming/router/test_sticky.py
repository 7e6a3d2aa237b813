from fastvideo.entrypoints.streaming.router.sticky import StickySessions


def test_sessions_and_tokens_are_kept_apart():
    sticky = StickySessions()
    sticky.remember("session", "x", "http://a")
    sticky.remember("token", "x", "http://b")
    assert sticky.find("session", "x") == "http://a"
    assert sticky.find("token", "x") == "http://b"
    assert sticky.find("token", "y") is None


def test_what_was_used_least_recently_is_forgotten_first():
    sticky = StickySessions(max_entries=2)
    sticky.remember("session", "1", "http://a")
    sticky.remember("session", "2", "http://b")
    sticky.find("session", "1")
    sticky.remember("session", "3", "http://c")
    assert len(sticky) == 2
    assert sticky.find("session", "2") is None
    assert sticky.find("session", "1") == "http://a"

from fastvideo.entrypoints.streaming.resume_token import digest, matches, new_token, session_of


def test_a_token_names_its_session_and_cannot_be_guessed() -> None:
    tokens = {new_token("abc") for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert session_of(token) == "abc"
        # 256 bits.
        assert len(token) >= len("abc.") + 43


def test_only_the_token_itself_matches_what_is_kept_of_it() -> None:
    token = new_token("abc")
    kept = digest(token)
    assert token.encode() not in kept
    assert matches(token, kept)
    for other in ("", "abc", "abc.", token[:-1], token + "x", new_token("abc"), token + "\ud800"):
        assert not matches(other, kept)

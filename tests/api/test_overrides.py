import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api import ConfigValidationError, apply_overrides, normalize_overrides, parse_cli_overrides


def test_both_spellings_are_read_and_dashes_become_underscores():
    assert parse_cli_overrides(["--a.b-c", "1", "--d=x"]) == {"a.b_c": 1, "d": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("none", None),
        ("null", None),
        ("8", 8),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("[1, two]", [1, "two"]),
        ("{a: 1}", {"a": 1}),
        ("mock:?rtf=0.9", "mock:?rtf=0.9"),
        ("1_000x", "1_000x"),
        ("", ""),
    ],
)
def test_words_are_cast(text, value):
    assert parse_cli_overrides([f"--key={text}"]) == {"key": value}


def test_a_negative_number_is_a_value():
    assert parse_cli_overrides(["--a", "-3"]) == {"a": -3}


@pytest.mark.parametrize(
    "words", [["a"], ["--a"], ["--a", "--b", "1"], ["--", "1"], ["--a..b", "1"], ["--=1"], ["--a=[1"]]
)
def test_malformed_words_are_refused(words):
    with pytest.raises(ValueError):
        parse_cli_overrides(words)


def test_none_and_mappings_are_normalised():
    assert normalize_overrides(None) == {}
    assert normalize_overrides({"a": 1}) == {"a": 1}
    assert normalize_overrides(["--a", "1"]) == {"a": 1}


def test_missing_maps_are_made_and_none_is_replaced():
    assert apply_overrides({"a": None}, {"a.b.c": 1, "d": 2}) == {"a": {"b": {"c": 1}}, "d": 2}


def test_a_path_through_a_value_is_refused_with_its_place():
    with pytest.raises(ConfigValidationError) as caught:
        apply_overrides({"a": {"b": 3}}, {"a.b.c": 1})
    assert caught.value.path == "a.b"


def test_an_empty_segment_is_refused():
    with pytest.raises(ValueError, match="empty"):
        apply_overrides({}, {"a..b": 1})


names = st.sampled_from(["a", "b", "c"])
trees = st.recursive(st.integers() | st.none(), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6)


@given(config=st.dictionaries(names, trees, max_size=3), path=st.lists(names, min_size=1, max_size=3))
def test_the_source_is_never_changed_and_the_value_is_found_again(config, path):
    before = copy.deepcopy(config)
    try:
        result = apply_overrides(config, {".".join(path): "new"})
    except ConfigValidationError:
        assert config == before
        return
    assert config == before
    for name in path:
        result = result[name]
    assert result == "new"

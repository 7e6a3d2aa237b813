from __future__ import annotations

from typing import Any

import pytest

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.metadata_section import MetadataSection


def _section(value: Any) -> MetadataSection:
    return MetadataSection({"key": value}, "vocoder.bwe")


def test_an_absent_or_null_key_gives_the_default() -> None:
    for section in (MetadataSection({}, "x"), MetadataSection({"key": None}, "x")):
        assert "key" not in section
        assert section.integer("key", 3) == 3
        assert section.integers("key", (1, 2)) == (1, 2)
        assert section.integer_lists("key", ((1,), (2,))) == ((1,), (2,))
        assert section.number("key", 0.5) == 0.5
        assert section.flag("key", True) is True
        assert section.noise_levels("key") == ()
        assert section.section("key").values == {}
        section.require("key", "pixel")


def test_values_of_the_right_type_are_read() -> None:
    assert _section(5).integer("key", 3) == 5
    assert _section([4, 5]).integers("key", ()) == (4, 5)
    assert _section([[1], [2, 3]]).integer_lists("key", ()) == ((1,), (2, 3))
    assert _section(8000).number("key", 0.5) == 8000.0
    assert _section(False).flag("key", True) is False
    assert _section([1, 0.5]).noise_levels("key") == (1.0, 0.5)
    assert _section([]).noise_levels("key") == ()
    assert _section({"inner": 1}).section("key").integer("inner", 0) == 1


@pytest.mark.parametrize("value", [True, 0, -1, 1.5, "5", [5]])
def test_what_is_not_a_positive_integer_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(CheckpointError, match=r"vocoder\.bwe\.key: expected a positive integer, got"):
        _section(value).integer("key", 3)


@pytest.mark.parametrize("value", [[], 5, [0], [True], ["a"]])
def test_what_is_not_a_list_of_positive_integers_is_refused(value: Any) -> None:
    with pytest.raises(CheckpointError, match="expected a list of positive integers"):
        _section(value).integers("key", (1,))


def test_a_bad_row_of_lists_is_named_with_its_index() -> None:
    with pytest.raises(CheckpointError, match=r"vocoder\.bwe\.key\[1\]: expected a list of positive integers, got 'x'"):
        _section([[1], "x"]).integer_lists("key", ())
    with pytest.raises(CheckpointError, match=r"key\[0\]"):
        _section([[]]).integer_lists("key", ())
    with pytest.raises(CheckpointError, match=r"key\[0\]"):
        _section([None]).integer_lists("key", ())
    with pytest.raises(CheckpointError, match="a list of lists"):
        _section([]).integer_lists("key", ())


@pytest.mark.parametrize("value", [True, -0.1, float("inf"), float("nan"), "1"])
def test_what_is_not_a_number_of_at_least_zero_is_refused(value: Any) -> None:
    with pytest.raises(CheckpointError, match="expected a number of at least 0"):
        _section(value).number("key", 1.0)


@pytest.mark.parametrize("value", [1, [0.9], [1, 1], [1, 0], [1, float("nan")], [1, True], ["1"]])
def test_what_does_not_fall_from_1_above_0_are_no_noise_levels(value: Any) -> None:
    with pytest.raises(CheckpointError, match="expected numbers falling from 1, all above 0"):
        _section(value).noise_levels("key")


def test_what_is_not_a_boolean_is_refused() -> None:
    with pytest.raises(CheckpointError, match="expected true or false, got 1"):
        _section(1).flag("key", False)


def test_what_is_not_an_object_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"vocoder\.bwe\.key: expected an object"):
        _section([]).section("key")


def test_a_kind_that_is_not_implemented_is_refused_and_a_supported_one_passes() -> None:
    _section("AMP1").require("key", "1", "AMP1")
    with pytest.raises(CheckpointError, match="expected '1' or 'AMP1', the only kind implemented here, got '2'"):
        _section("2").require("key", "1", "AMP1")

import pytest

from scripts.train_embedded.model_card import figures_table, with_figures

REPORT = {
    "figures": [
        {"name": "shape wrong", "value": 2.5, "unit": "%", "goal": 10.0, "note": "of 200 prompts", "met": True},
        {"name": "motion wrong", "value": 12.0, "unit": "%", "goal": 10.0, "note": "", "met": False},
        {"name": "first fragment", "value": 1480.4, "unit": "ms", "goal": 1500.0, "note": "", "met": True},
        {"name": "stalls", "value": None, "unit": "", "goal": None, "note": "no browser", "met": None},
    ]
}
CARD = "before\n<!-- begin figures of a -->\nold\n<!-- end figures of a -->\nafter\n"


def test_a_table_shows_what_was_reached_and_what_was_not() -> None:
    assert figures_table(REPORT).splitlines()[2:] == [
        "| shape wrong | **2.5 %** | at most 10 % | of 200 prompts |",
        "| motion wrong | 12 % | at most 10 % |  |",
        "| first fragment | **1480 ms** | at most 1500 ms |  |",
        "| stalls | not measured | – | no browser |",
    ]


def test_figures_replace_the_ones_before_and_leave_the_text() -> None:
    once = with_figures(CARD, {"a": REPORT})
    assert once.startswith("before\n<!-- begin figures of a -->\n| figure |")
    assert once.endswith("| no browser |\n<!-- end figures of a -->\nafter\n")
    assert with_figures(once, {"a": REPORT}) == once


def test_a_card_without_a_place_for_them_is_refused() -> None:
    with pytest.raises(ValueError, match="end figures of b"):
        with_figures(CARD, {"b": REPORT})

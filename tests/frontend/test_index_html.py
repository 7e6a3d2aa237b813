"""What screen readers and keyboards find in the page as it is served: names, references, live regions, order."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

FRONTEND = Path(__file__).parent.parent.parent / "frontend"
VOID = frozenset({"meta", "link", "input", "br", "img", "path", "rect", "circle", "use"})
# What is said aloud without being asked for: short words that seldom change, and news.
LIVE = {"whisper": "status", "rewrite__state": "status", "announcer": "status", "notices": "polite"}


class Element:
    def __init__(self, tag: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.words = ""

    @property
    def place(self) -> str:
        name = self.attributes.get("id") or self.attributes.get("class", "")
        return f"<{self.tag} {name}>"

    def inside(self, tag: str) -> bool:
        return self.parent is not None and (self.parent.tag == tag or self.parent.inside(tag))


class Page(HTMLParser):
    """The elements of a document in their order; ``words`` of each are its own and its descendants'."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open[-1] if self._open else None)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.words += data


@pytest.fixture(scope="module")
def page() -> Page:
    return Page((FRONTEND / "index.html").read_text())


def test_everything_that_can_be_worked_has_a_name(page: Page) -> None:
    labelled = {element.attributes.get("for") for element in page.elements if element.tag == "label"}
    for element in page.elements:
        if element.tag not in ("button", "input", "textarea", "select", "dialog") or "hidden" in element.attributes:
            continue
        named = "aria-label" in element.attributes or "aria-labelledby" in element.attributes
        labelled_here = element.attributes.get("id") in labelled or element.inside("label")
        says = element.tag == "button" and element.words.strip()
        assert named or labelled_here or says, f"{element.place} has no name"


def test_every_part_of_the_page_has_a_name(page: Page) -> None:
    for element in page.elements:
        if element.tag in ("section", "aside", "form") or element.attributes.get("role") in ("region", "group"):
            named = {"aria-label", "aria-labelledby"} & set(element.attributes)
            assert named or element.inside("dialog") or element.inside("section"), f"{element.place} has no name"


def test_what_is_referred_to_is_there(page: Page) -> None:
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for", "popovertarget"):
            for target in element.attributes.get(name, "").split():
                assert target in ids, f"{element.place} refers to {target}, which is not there"


def test_pictures_of_words_are_left_out_of_what_is_read(page: Page) -> None:
    for element in page.elements:
        if element.tag == "svg":
            assert element.attributes.get("aria-hidden") == "true" or element.parent is None or _hidden(element), (
                f"{element.place} in {element.parent.place if element.parent else ''} is read aloud"
            )


def test_only_seldom_words_are_said_aloud_unasked(page: Page) -> None:
    live = {}
    for element in page.elements:
        role = element.attributes.get("role")
        if role in ("status", "alert", "log") or "aria-live" in element.attributes:
            live[element.attributes.get("id") or element.attributes["class"]] = (
                element.attributes.get("aria-live") or role
            )
    assert live == LIVE


def test_the_keyboard_goes_through_the_page_in_its_order(page: Page) -> None:
    assert all(int(element.attributes.get("tabindex", "0")) <= 0 for element in page.elements)
    first = next(element for element in page.elements if element.tag in ("a", "button", "input", "textarea"))
    assert (first.tag, first.attributes.get("href")) == ("a", "#prompt")


def test_no_heading_skips_a_level(page: Page) -> None:
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(level <= before + 1 for before, level in pairwise(levels))


def test_those_who_want_less_motion_get_none() -> None:
    base = (FRONTEND / "css" / "base.css").read_text()
    reduced = base[base.index("@media (prefers-reduced-motion: reduce)") :]
    assert "animation-duration: 1ms !important" in reduced
    assert "transition-duration: 1ms !important" in reduced
    for path in (FRONTEND / "js").rglob("*.js"):
        if "smooth" in (text := path.read_text()):
            assert "prefers-reduced-motion" in text, f"{path.name} scrolls smoothly for those as well"


def _hidden(element: Element) -> bool:
    return element.parent is not None and (
        element.parent.attributes.get("aria-hidden") == "true" or _hidden(element.parent)
    )

"""What the newest texts were encoded to, for the segments that ask for one of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from fastvideo.pipelines.basic.ltx2.batch import TextContext


class EncodedText(NamedTuple):
    """All that the encoding of a text depends on: its words, the tokens it is padded to, and which LoRA adapters are
    merged (a number that changes with them)."""

    text: str
    length: int | None
    weights: int


class TextCache:
    """Keeps the ``entries`` contexts that were used last; with 0 none. Nobody may write into what it gives."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._contexts: OrderedDict[EncodedText, TextContext] = OrderedDict()

    @property
    def enabled(self) -> bool:
        """Whether it keeps anything."""
        return self._entries > 0

    def __len__(self) -> int:
        return len(self._contexts)

    def __contains__(self, text: EncodedText) -> bool:
        return text in self._contexts

    def of(self, text: EncodedText, encode: Callable[[], TextContext]) -> TextContext:
        """The context of a text, which ``encode`` makes if it is not here."""
        context = self._contexts.pop(text, None)
        if context is None:
            context = encode()
        if self.enabled:
            self._contexts[text] = context
            while len(self._contexts) > self._entries:
                self._contexts.popitem(last=False)
        return context

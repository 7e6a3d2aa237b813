"""Which replica has which session, as far as this router has seen it pass."""

from __future__ import annotations

from collections import OrderedDict

MAX_ENTRIES = 65_536


class StickySessions:
    """Replicas' addresses by session id and by resume token; what was used least recently is forgotten first."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._addresses: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._max_entries = max_entries

    def __len__(self) -> int:
        return len(self._addresses)

    def remember(self, kind: str, value: str, address: str) -> None:
        """``kind`` is "session" or "token"."""
        self._addresses[kind, value] = address
        self._addresses.move_to_end((kind, value))
        while len(self._addresses) > self._max_entries:
            self._addresses.popitem(last=False)

    def find(self, kind: str, value: str) -> str | None:
        """The address that was remembered for this value."""
        address = self._addresses.get((kind, value))
        if address is not None:
            self._addresses.move_to_end((kind, value))
        return address

"""The list of recordings, of all replicas together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from fastvideo.entrypoints.streaming.recordings.recording_info import is_recording_id
from fastvideo.entrypoints.streaming.router.registry import Replica

MAX_LISTED = 200
_DEFAULT_LISTED = 50
# So many entries with prompts of 500 characters, and more.
_MAX_ANSWER_BYTES = 2 << 20
_ACCESS = "access-control-"
_KEPT = frozenset(("cache-control", "vary", "www-authenticate", "retry-after"))

# Asks one replica for a path with a query; the answer's body is still to be read.
Ask = Callable[[Replica, str, Mapping[str, str]], Awaitable[httpx.Response]]


class Entry(msgspec.Struct):
    """What a router reads of a recording's description; the rest is passed on as it is."""

    id: str
    started_at: str
    all: dict[str, Any] = msgspec.field(default_factory=dict)


class _Listed(msgspec.Struct):
    sessions: list[dict[str, Any]]
    more: bool


@dataclass(frozen=True)
class Page:
    """A part of a list, the newest first, and whether there are more."""

    entries: list[Entry]
    more: bool


@dataclass(frozen=True)
class Answer:
    """A replica's answer. ``headers``: those about who may read it."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class SessionList:
    """What came of asking. ``homes``: which replica has which recording; ``unanswered``: who did not say;
    ``answer``: one that has a list, or else one that refuses."""

    page: Page | None = None
    homes: dict[str, Replica] = field(default_factory=dict)
    unanswered: list[Replica] = field(default_factory=list)
    answer: Answer | None = None


async def list_sessions(
    replicas: Sequence[Replica], query: Mapping[str, str], ask: Ask, *, timeout_s: float
) -> SessionList:
    """Ask all that live side by side, each for so long, and put together what they say.

    ``query`` is a client's. The recording that it names as ``after`` is another replica's for all but one, so that they
    are told when it began.
    """
    found = SessionList(unanswered=[replica for replica in replicas if not replica.is_healthy])
    alive = [replica for replica in replicas if replica.is_healthy]
    passed = dict(query)
    after = query.get("after")
    if after is not None and is_recording_id(after):
        described = await _all(alive, f"/v1/sessions/{after}", {}, ask, timeout_s)
        entries = [_entry(_object(answer.body)) for answer in described.values()]
        if began := [entry.started_at for entry in entries if entry is not None]:
            passed["after_started_at"] = max(began)
    answers = await _all(alive, "/v1/sessions", passed, ask, timeout_s)
    pages: list[Page] = []
    for replica in alive:
        answer = answers.get(replica)
        page = read_page(answer.body) if answer is not None and answer.status == 200 else None
        if page is not None:
            if not pages:
                found.answer = answer
            pages.append(page)
            found.homes |= {entry.id: replica for entry in page.entries if entry.id not in found.homes}
        elif answer is not None and 400 <= answer.status < 500:
            found.answer = found.answer or answer
        else:
            found.unanswered.append(replica)
    if pages:
        found.page = merged(pages, _limit(query))
    return found


def merged(pages: Iterable[Page], limit: int) -> Page:
    """At most ``limit`` of all, the newest first. Of one that went on elsewhere there are several parts under one id:
    the newest is shown."""
    pages = list(pages)
    entries = sorted((entry for page in pages for entry in page.entries), key=_place, reverse=True)
    newest: dict[str, Entry] = {}
    for entry in entries:
        newest.setdefault(entry.id, entry)
    return Page(list(newest.values())[:limit], any(page.more for page in pages) or len(newest) > limit)


def read_page(body: bytes) -> Page | None:
    """A replica's answer; None for what is no list."""
    try:
        listed = msgspec.json.decode(body, type=_Listed)
    except msgspec.DecodeError:
        return None
    entries = [_entry(each) for each in listed.sessions]
    return Page([entry for entry in entries if entry is not None], listed.more)


def _entry(described: Any) -> Entry | None:
    try:
        known = msgspec.convert(described, Entry)
    except msgspec.ValidationError:
        return None
    known.all = described
    return known if is_recording_id(known.id) else None


def _object(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None


def _place(entry: Entry) -> tuple[str, str]:
    # Times of one form, in UTC, are in order as text.
    return entry.started_at, entry.id


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(_DEFAULT_LISTED))
    # What is no number is refused by the replicas.
    return min(int(text), MAX_LISTED) if text.isascii() and text.isdigit() and len(text) < 4 else MAX_LISTED


async def _all(
    replicas: Sequence[Replica], path: str, query: Mapping[str, str], ask: Ask, timeout_s: float
) -> dict[Replica, Answer]:
    """The answers that came in time."""

    async def one(replica: Replica) -> Answer | None:
        try:
            async with asyncio.timeout(timeout_s):
                answered = await ask(replica, path, query)
                try:
                    return Answer(answered.status_code, await _read(answered), _about_access(answered.headers))
                finally:
                    await answered.aclose()
        except (TimeoutError, httpx.HTTPError):
            return None

    answers = await asyncio.gather(*(one(replica) for replica in replicas))
    return {replica: answer for replica, answer in zip(replicas, answers, strict=True) if answer is not None}


def _about_access(headers: httpx.Headers) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.startswith(_ACCESS) or key in _KEPT}


async def _read(answered: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answered.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            return b""
    return bytes(body)

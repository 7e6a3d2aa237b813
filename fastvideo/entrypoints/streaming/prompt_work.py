"""The words of a session's segments: worked on while the segment before is made, and there in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from fastvideo.entrypoints.streaming.ask_budget import AskBudget
from fastvideo.entrypoints.streaming.director import Director, Prompt
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.prompt.outcome import Enhanced, PromptOutcome, Unchanged
from fastvideo.entrypoints.streaming.protocol import PromptEnhancement
from fastvideo.entrypoints.streaming.session import Session

Operation: TypeAlias = Literal["enhance", "auto_extend"]

# Curated prompts that are enhanced at once, beside the upcoming one.
MAX_BESIDE = 3
# What a viewer who asks for something is ready to wait for better words, though the picture may run out.
LEAST_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Words:
    """What a segment is made from. ``enhancement``: what a language model was asked, if any; ``waited_ms``: for it;
    ``detail``: why its words are not used, for the log."""

    prompt: Prompt
    enhancement: PromptEnhancement | None = None
    waited_ms: float | None = None
    detail: str | None = None


class PromptPostponed(Exception):
    """Generation was paused before a segment had its words."""


@dataclass(frozen=True, slots=True)
class _Key:
    operation: Operation
    text: str


@dataclass(slots=True)
class _Work:
    """One question under way or answered. ``ahead``: it had the time in which the segment before was made."""

    task: asyncio.Task[PromptOutcome]
    asked_s: float
    ahead: bool


class PromptWork:
    """Asks language models for one session: for the upcoming prompt, and once for each curated one.

    :meth:`look_ahead` starts what is wanted now and ends what is not; call it whenever something has changed.
    :meth:`words` gives a segment its words; its own where ``budget`` is used up. ``clock`` gives monotonic seconds.
    ``on_look`` is called after each look ahead: :attr:`next_words` may be others then.
    """

    def __init__(
        self,
        gate: PromptGate,
        session: Session,
        director: Director,
        budget: AskBudget,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._session = session
        self._director = director
        self._budget = budget
        self._clock = clock
        self._works: dict[_Key, _Work] = {}
        self._upcoming: _Key | None = None
        self._taking: _Key | None = None
        self._postponed = False
        self._closed = False
        self._first_fragment_s = 0.0
        self.on_look: Callable[[], None] = lambda: None

    def look_ahead(self) -> None:
        """Work on what comes next, as things stand; nothing else goes on."""
        if self._closed:
            return
        if self._gate.enhancer is not None:
            self._ask_ahead()
        self.on_look()

    @property
    def next_words(self) -> Prompt | None:
        """What the segment after the running one is made from, in its final words, once they are known and if they are
        others than the running one's."""
        prompt = self._director.upcoming
        if prompt is None or self._director.running is None:
            return None
        if (key := self._key(prompt)) is not None:
            work = self._works.get(key)
            if work is None or not work.task.done() or work.task.cancelled() or work.task.exception() is not None:
                return None
            prompt = replace(prompt, text=work.task.result().text)
        return prompt if prompt.text != self._director.story[-1] else None

    def _ask_ahead(self) -> None:
        upcoming = self._key(self._director.upcoming)
        if self._taking is not None and upcoming is not None and upcoming.operation == "auto_extend":
            # A story goes on from words that are not there yet.
            upcoming = None
        if upcoming != self._upcoming:
            self._upcoming = upcoming
            self._forget_failure(upcoming)
        curated = self._curated()
        if self._director.paused:
            # Answers are good for later; questions are not worth their price now.
            self._postponed = self._taking is not None
            self._drop(lambda key, work: not work.task.done())
            return
        wanted = {upcoming, *curated, self._taking}
        self._drop(lambda key, work: key not in wanted)
        if upcoming is not None and upcoming not in self._works:
            self._begin(upcoming)
        under_way = sum(not self._works[key].task.done() for key in curated if key in self._works)
        for key in curated:
            if under_way < MAX_BESIDE and key not in self._works and self._begin(key) is not None:
                under_way += 1

    async def words(self, prompt: Prompt) -> Words:
        """What the running segment is made from, in time for the viewer whatever a language model does.

        Raises PromptBlocked, and PromptPostponed when generation is paused meanwhile.
        """
        key = self._key(prompt)
        if key is None:
            self._gate.check(prompt.text)
            words = Words(prompt)
        else:
            words = await self._answered(key, prompt)
        self._director.reworded(words.prompt.text)
        for work in self._works.values():
            work.ahead = True
        self.look_ahead()
        return words

    def first_fragment(self, seconds: float) -> None:
        """How long a segment took from its words to its first media: what a viewer has to be ahead by."""
        self._first_fragment_s = seconds

    async def close(self) -> None:
        """End whatever is under way."""
        self._closed = True
        tasks = [work.task for work in self._works.values()]
        self._works.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- what is wanted

    def _key(self, prompt: Prompt | None) -> _Key | None:
        """What to ask about a prompt, if anything."""
        if prompt is None or self._gate.enhancer is None:
            return None
        if prompt.automatic and prompt.source == "auto_extension":
            return _Key("auto_extend", prompt.text)
        enhance = self._session.enhancement_enabled and prompt.source in ("user", "curated")
        return _Key("enhance", prompt.text) if enhance else None

    def _curated(self) -> list[_Key]:
        """The curated prompts, each asked about once, so that none waits when its turn comes."""
        if not self._session.enhancement_enabled or self._director.stopping:
            return []
        return [_Key("enhance", text) for text in dict.fromkeys(self._director.curated)]

    # --- the work

    def _drop(self, unwanted: Callable[[_Key, _Work], bool]) -> None:
        for key, work in list(self._works.items()):
            if unwanted(key, work):
                del self._works[key]
                work.task.cancel()

    def _begin(self, key: _Key) -> _Work | None:
        if not self._budget.take(self._clock()):
            return None
        gate, story = self._gate, self._director.story
        answer = gate.enhanced(key.text) if key.operation == "enhance" else gate.extended(story)
        task = asyncio.ensure_future(answer)
        ahead = self._director.running is not None and key != self._taking
        work = _Work(task, self._clock(), ahead)
        task.add_done_callback(self._ended)
        self._works[key] = work
        return work

    def _ended(self, task: asyncio.Task[PromptOutcome]) -> None:
        if not task.cancelled():
            task.exception()
            # The next curated prompt may have its turn.
            self.look_ahead()

    def _forget_failure(self, key: _Key | None) -> None:
        """Ask again about a prompt that is about to be used, if nobody answered the last time."""
        work = self._works.get(key) if key is not None else None
        if key is not None and work is not None and key != self._taking and _failed(work.task):
            del self._works[key]

    async def _answered(self, key: _Key, prompt: Prompt) -> Words:
        began_s = self._clock()
        self._taking, self._postponed = key, False
        try:
            work = self._works.get(key) or self._begin(key)
            outcome = self._without(prompt) if work is None else await self._outcome(work, prompt)
        finally:
            self._taking = None
            # A curated prompt's words are good for every round; any other answer is used once.
            taken, curated = key, self._curated()
            self._drop(lambda key, work: key == taken and (_failed(work.task) or key not in curated))
        source = "enhanced" if isinstance(outcome, Enhanced) and prompt.source == "user" else prompt.source
        return Words(
            replace(prompt, text=outcome.text, source=source),
            _report(key.operation, prompt, outcome),
            round((self._clock() - began_s) * 1000.0, 3),
            outcome.detail if isinstance(outcome, Unchanged) else None,
        )

    def _without(self, prompt: Prompt) -> PromptOutcome:
        self._gate.check(prompt.text)
        return Unchanged(prompt.text, "rate_limited", "this session has had language models asked too often", 0.0)

    async def _outcome(self, work: _Work, prompt: Prompt) -> PromptOutcome:
        if not work.task.done():
            try:
                async with asyncio.timeout(self._patience_s(work, prompt)):
                    return await work.task
            except TimeoutError:
                if work.task.done() and not work.task.cancelled():
                    return work.task.result()
                waited_ms = (self._clock() - work.asked_s) * 1000.0
                return Unchanged(prompt.text, "timeout", "the segment could not wait any longer", waited_ms)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if self._postponed and current is not None and not current.cancelling():
                    raise PromptPostponed from None
                raise
        return work.task.result()

    def _patience_s(self, work: _Work, prompt: Prompt) -> float | None:
        """How long the segment can wait for its words; None is as long as the enhancer's own deadline."""
        ahead_s = self._director.viewer.ahead_ms(self._clock()) / 1000.0
        slack_s = ahead_s - self._first_fragment_s
        if work.ahead:
            # The picture does not wait for it.
            return max(0.0, slack_s)
        return max(LEAST_PATIENCE_S, slack_s) if ahead_s > 0 else None


def _failed(task: asyncio.Task[PromptOutcome]) -> bool:
    if not task.done():
        return False
    return task.cancelled() or task.exception() is not None or isinstance(task.result(), Unchanged)


def _report(operation: Operation, prompt: Prompt, outcome: PromptOutcome) -> PromptEnhancement:
    latency_ms = round(outcome.latency_ms, 3)
    match outcome:
        case Enhanced():
            return PromptEnhancement(
                operation=operation,
                applied=True,
                original=prompt.text,
                provider=outcome.provider,
                model=outcome.model,
                fallback_used=outcome.fallback_used,
                latency_ms=latency_ms,
            )
        case Unchanged():
            return PromptEnhancement(
                operation=operation, applied=False, original=prompt.text, reason=outcome.reason, latency_ms=latency_ms
            )

"""Prompt work of one session: a language model whose every answer a test gives, and any order of events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from fastvideo.entrypoints.streaming import prompt_work
from fastvideo.entrypoints.streaming.ask_budget import AskBudget
from fastvideo.entrypoints.streaming.director import Director, DirectorRules, Prompt, Start
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked, PromptGate
from fastvideo.entrypoints.streaming.prompt.outcome import Enhanced, PromptOutcome, Unchanged
from fastvideo.entrypoints.streaming.prompt_work import PromptPostponed, PromptWork, Words
from fastvideo.entrypoints.streaming.session import Session


class Gate(PromptGate):
    """Keeps what is asked, until a test answers. A cancelled question is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.enhancer: Any = object()
        self.asked: list[tuple[str, ...]] = []
        self.open: dict[tuple[str, ...], asyncio.Future[PromptOutcome]] = {}

    async def enhanced(self, prompt: str) -> PromptOutcome:
        return await self._ask(("enhance", prompt))

    async def extended(self, story: Sequence[str]) -> PromptOutcome:
        return await self._ask(("extend", *story))

    async def aclose(self) -> None:
        pass

    async def _ask(self, question: tuple[str, ...]) -> PromptOutcome:
        assert question not in self.open, f"asked twice at once: {question}"
        self.asked.append(question)
        answer = self.open[question] = asyncio.get_running_loop().create_future()
        try:
            return await answer
        finally:
            del self.open[question]


def better(question: tuple[str, ...]) -> Enhanced:
    return Enhanced(f"better {question[-1]}", "provider", "model", 5.0, False)


class Stage:
    """A session's prompt work, with time and answers in a test's hands."""

    def __init__(self, *, curated: Sequence[str] = (), budget: int = 1000, **director: Any) -> None:
        self.now_s = 100.0
        self.gate = Gate()
        self.session = Session(enhancement_enabled=True)
        self.director = Director(DirectorRules(segment_cap=1000, lead_s=1e9), curated_prompts=curated, **director)
        self.work = PromptWork(self.gate, self.session, self.director, AskBudget(budget), clock=lambda: self.now_s)

    def ask_for(self, *texts: str) -> None:
        for text in texts:
            self.director.submit(Prompt(text))
        self.work.look_ahead()

    def start(self) -> asyncio.Task[Words]:
        decision = self.director.decide(self.now_s)
        assert isinstance(decision, Start)
        return asyncio.create_task(self.work.words(decision.prompt))

    def finish(self) -> None:
        self.director.completed()
        self.work.look_ahead()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_next_prompt_is_asked_about_while_a_segment_is_made() -> None:
    it = Stage()
    it.ask_for("one", "two")
    await settled()
    assert it.gate.asked == [("enhance", "one")]
    words = it.start()
    it.gate.open["enhance", "one"].set_result(better(("one",)))
    assert (await words).prompt == Prompt("better one", source="enhanced")
    await settled()
    assert it.gate.asked[1:] == [("enhance", "two")]
    await it.work.close()
    assert it.gate.open == {}


async def test_a_picture_that_plays_waits_as_long_as_it_lasts_less_what_a_segment_takes_to_show(monkeypatch) -> None:
    waited = []

    def timeout(delay: float | None) -> Any:
        waited.append(delay)
        return asyncio.timeouts.timeout(None if delay is None else 0)

    monkeypatch.setattr(prompt_work.asyncio, "timeout", timeout)
    it = Stage()
    # Nothing plays: as long as the enhancer itself allows.
    it.ask_for("one")
    words = it.start()
    await settled()
    it.gate.open["enhance", "one"].set_result(better(("one",)))
    await words
    # Known while the segment before was made; five seconds of picture, one until the first fragment.
    it.work.first_fragment(1.0)
    it.director.viewer.sent(5000.0, it.now_s)
    it.ask_for("two")
    it.finish()
    assert (await it.start()).prompt.text == "two"
    # Late again, with less picture left than a segment takes.
    it.now_s += 4.5
    it.ask_for("three")
    it.finish()
    assert (await it.start()).enhancement.reason == "timeout"
    # Asked for while nothing is made: the picture may run out, but not for long.
    it.finish()
    it.ask_for("four")
    await it.start()
    assert waited == [None, 4.0, 0.0, prompt_work.LEAST_PATIENCE_S]
    assert it.gate.open == {}


async def test_a_story_goes_on_from_the_words_that_are_shown() -> None:
    it = Stage(auto_extension=True)
    it.ask_for("one")
    words = it.start()
    await settled()
    it.work.look_ahead()
    await settled()
    assert it.gate.asked == [("enhance", "one")]
    it.gate.open["enhance", "one"].set_result(better(("one",)))
    await words
    await settled()
    assert it.gate.asked[1:] == [("extend", "better one")]
    await it.work.close()


async def test_a_session_that_has_asked_too_often_uses_its_own_words() -> None:
    it = Stage(budget=1)
    it.ask_for("one", "two")
    words = it.start()
    await settled()
    it.gate.open["enhance", "one"].set_result(better(("one",)))
    await words
    it.finish()
    second = await it.start()
    assert (second.prompt.text, second.enhancement.reason) == ("two", "rate_limited")


async def test_a_curated_prompt_that_nobody_answered_is_asked_about_again_when_its_turn_comes() -> None:
    it = Stage(curated=["a", "b"], loop=True)
    it.work.look_ahead()
    await settled()
    for question in list(it.gate.open):
        it.gate.open[question].set_result(Unchanged(question[-1], "unavailable", "down", 1.0))
    await settled()
    assert (await it.start()).prompt.text == "a"
    await settled()
    # b is next: it is asked about while a is made.
    assert it.gate.asked.count(("enhance", "b")) == 2
    await it.work.close()


class PromptWorkMachine(RuleBasedStateMachine):
    """Any order of what viewers, workers and language models do."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.words: asyncio.Task[Words] | None = None
        self.ready: Words | None = None
        self.good: set[str] = set()
        self.count = 0
        self.loop.run_until_complete(self.open())

    async def open(self) -> None:
        self.it = Stage(curated=["a", "b"], loop=True)

    def step(self, action: Any = None) -> None:
        async def act() -> None:
            if action is not None:
                action()
            self.it.work.look_ahead()
            await settled()
            if self.words is None and self.ready is None and self.it.director.upcoming is not None:
                self.words = self.it.start()
                await settled()
            if self.words is not None and self.words.done():
                self.take(self.words)
                self.words = None
            await settled()

        self.loop.run_until_complete(act())

    def take(self, words: asyncio.Task[Words]) -> None:
        director = self.it.director
        if words.cancelled():
            director.cancelled()
            return
        match words.exception():
            case None:
                self.ready = words.result()
            case PromptPostponed():
                assert director.paused
                director.postponed()
            case PromptBlocked():
                director.blocked()
            case error:
                raise AssertionError(f"unexpected: {error!r}")

    @rule()
    def submit(self) -> None:
        self.count += 1
        if not self.it.director.full:
            self.step(lambda: self.it.director.submit(Prompt(f"wish {self.count}")))

    @rule(texts=st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=5))
    def replace(self, texts: list[str]) -> None:
        self.good &= set(texts)
        self.step(lambda: self.it.director.replace_curated(texts))

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.step(lambda: self.it.director.set_paused(paused))

    @rule(enabled=st.booleans())
    def enhance(self, enabled: bool) -> None:
        self.good &= set(self.it.director.curated if enabled else [])
        self.it.session.enhancement_enabled = enabled
        self.step()

    @rule(loop=st.booleans(), extend=st.booleans())
    def toggle(self, loop: bool, extend: bool) -> None:
        self.step(lambda: (self.it.director.set_loop(loop), self.it.director.set_auto_extension(extend)))

    @precondition(lambda self: self.it.gate.open)
    @rule(index=st.integers(0, 9), answer=st.sampled_from(["good", "good", "failed", "blocked"]))
    def answer(self, index: int, answer: str) -> None:
        questions = list(self.it.gate.open)
        question = questions[index % len(questions)]
        future = self.it.gate.open[question]
        # Known to be good for every round from now on.
        if question[0] == "enhance" and question[1] in self.it.director.curated:
            assert question[1] not in self.good, "asked again about a prompt that has its words"
            if answer == "good":
                self.good.add(question[1])
        if answer == "good":
            self.step(lambda: future.set_result(better(question)))
        elif answer == "failed":
            self.step(lambda: future.set_result(Unchanged(question[-1], "empty", "nothing", 1.0)))
        else:
            self.step(lambda: future.set_exception(PromptBlocked("no")))

    @precondition(lambda self: self.words is not None)
    @rule()
    def cancel(self) -> None:
        words = self.words
        assert words is not None
        self.step(words.cancel)

    @precondition(lambda self: self.ready is not None)
    @rule(completes=st.booleans())
    def segment_ends(self, completes: bool) -> None:
        self.ready = None
        director = self.it.director
        self.step(director.completed if completes else director.cancelled)

    @invariant()
    def only_what_is_wanted_is_asked(self) -> None:
        director, asked = self.it.director, list(self.it.gate.open)
        if director.paused:
            assert asked == [], "a pause leaves a question open"
            return
        wanted = set(director.curated) if self.it.session.enhancement_enabled else set()
        for prompt in (director.upcoming, director.running if self.words is not None else None):
            if prompt is not None:
                wanted.add(prompt.text)
        assert {question[-1] for question in asked} <= wanted
        assert len(asked) <= prompt_work.MAX_BESIDE + 2

    def teardown(self) -> None:
        async def end() -> None:
            if self.words is not None:
                self.words.cancel()
                await asyncio.wait([self.words])
            await self.it.work.close()
            assert self.it.gate.open == {}
            assert asyncio.all_tasks() == {asyncio.current_task()}

        self.loop.run_until_complete(end())
        self.loop.close()


def test_whatever_happens_only_what_is_wanted_is_asked_and_nothing_is_left_running() -> None:
    run_state_machine_as_test(
        PromptWorkMachine,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )

"""Any order of commands and outcomes for a director, beside a book that is kept apart from how it decides.

Every text a viewer submits is different, so that one that is lost, or generated twice, shows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastvideo.entrypoints.streaming.director import (
    MAX_STORY_PROMPTS,
    Director,
    DirectorRules,
    End,
    Prompt,
    Start,
    Wait,
)
from fastvideo.entrypoints.streaming.protocol import BlockReason, PromptSource

LEAD_S = 2.0
MAX_PENDING = 3
_TOLERANCE_MS = 1e-6

_lists = st.lists(st.sampled_from(["a", "b", "c", " "]), max_size=4)


class DirectorMachine(RuleBasedStateMachine):
    """All toggles and events, for both things that a cap may do, and for single clips."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.curated: list[str] = []
        self.at = 0
        self.submitted = 0
        self.pending: deque[Prompt] = deque()
        self.hesitates = False
        self.running: Prompt | None = None
        self.unfinished: Prompt | None = None
        self.opening: dict[str, Any] = {}
        self.words = ""
        self.generated: list[str] = []
        self.story: list[str] = []
        self.allowance_used = 0
        self.paused = self.stopping = False
        self.ended: End | None = None
        self.told: BlockReason | None = None

    @initialize(
        curated=_lists,
        loop=st.booleans(),
        extend=st.booleans(),
        single_clip=st.sampled_from([False, False, False, True]),
        at_cap=st.sampled_from(["end", "pause"]),
        cap=st.sampled_from([1, 3, 8, 100]),
    )
    def open(self, curated: list[str], loop: bool, extend: bool, single_clip: bool, at_cap: Any, cap: int) -> None:
        self.cap, self.at_cap, self.single_clip = cap, at_cap, single_clip
        self.loop, self.extend = loop, extend
        self.opening = {
            "curated_prompts": curated,
            "loop": loop,
            "auto_extension": extend,
            "single_clip": single_clip,
        }
        self.director = self.new_director()
        self.set_curated(curated)
        self.turn()

    def new_director(self) -> Director:
        rules = DirectorRules(segment_cap=self.cap, at_cap=self.at_cap, lead_s=LEAD_S, max_pending=MAX_PENDING)
        return Director(rules, **self.opening)

    @precondition(lambda self: not self.stopping and self.ended is None)
    @rule()
    def go_on_elsewhere(self) -> None:
        """Another server takes over; the running segment is made again there, before anything else."""
        record, self.director = self.director.record(), self.new_director()
        self.director.restore(record)
        if self.running is not None:
            self.unfinished, self.running = self.running, None
        self.turn()

    # --- what a client does

    @precondition(lambda self: not self.director.full)
    @rule(source=st.sampled_from(get_args(PromptSource)), text=st.sampled_from(["a", ""]))
    def submit(self, source: PromptSource, text: str) -> None:
        self.submitted += 1
        # Clients play curated prompts, too; those may share their words with the list.
        words = text if text and source == "curated" else f"wish {self.submitted}"
        prompt = Prompt(words, source=source, request_id=str(self.submitted))
        self.director.submit(prompt)
        self.pending.append(prompt)
        self.acted()
        self.turn()

    @rule(value=st.booleans())
    def pause(self, value: bool) -> None:
        self.director.set_paused(value)
        self.paused = value
        if not value:
            self.acted()
        self.turn()

    @rule(value=st.booleans())
    def toggle_loop(self, value: bool) -> None:
        self.director.set_loop(value)
        self.loop = value
        self.turn()

    @rule(value=st.booleans())
    def toggle_extension(self, value: bool) -> None:
        self.director.set_auto_extension(value)
        self.extend = value
        self.turn()

    @rule(prompts=_lists)
    def replace(self, prompts: list[str]) -> None:
        self.director.replace_curated(prompts)
        self.set_curated(prompts)
        self.turn()

    @precondition(lambda self: not self.stopping)
    @rule(really=st.integers(0, 9))
    def stop(self, really: int) -> None:
        # Seldom: little can happen afterwards.
        if really == 9:
            self.director.stop()
            self.stopping = True
            self.turn()

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.turn()

    @rule(position_ms=st.floats(0, 20_000))
    def report(self, position_ms: float) -> None:
        self.director.viewer.reported(position_ms, self.now_s)
        self.turn()

    # --- what becomes of a segment

    @precondition(lambda self: self.running is not None)
    @rule(better=st.booleans())
    def reword(self, better: bool) -> None:
        assert self.running is not None
        self.words = f"better {self.running.text}" if better else self.running.text
        self.director.reworded(self.words)

    @precondition(lambda self: self.running is not None)
    @rule(media_ms=st.floats(0, 5000))
    def complete(self, media_ms: float) -> None:
        self.director.viewer.sent(self.director.viewer.end_ms + media_ms, self.now_s)
        upcoming = self.director.upcoming
        self.director.completed()
        prompt = self.finished()
        if [self.words] != self.story[-1:]:
            self.story.append(self.words)
        self.allowance_used += 1
        self.played(prompt)
        assert self.director.upcoming == upcoming, "completing a segment changes what comes next"
        self.turn()

    @precondition(lambda self: self.running is not None)
    @rule(media_ms=st.floats(0, 5000))
    def cancel(self, media_ms: float) -> None:
        self.director.viewer.sent(self.director.viewer.end_ms + media_ms, self.now_s)
        self.director.cancelled()
        self.played(self.finished())
        self.turn()

    @precondition(lambda self: self.running is not None)
    @rule()
    def fail(self) -> None:
        self.director.failed()
        self.finished()
        self.turn()

    @precondition(lambda self: self.running is not None)
    @rule()
    def block(self) -> None:
        self.director.blocked()
        prompt = self.finished()
        if prompt.source == "curated":
            gone = [index for index, text in enumerate(self.curated) if text == prompt.text]
            self.at -= sum(index < self.at for index in gone)
            self.curated = [text for text in self.curated if text != prompt.text]
        self.turn()

    @precondition(lambda self: self.running is not None)
    @rule()
    def postpone(self) -> None:
        self.director.postponed()
        prompt = self.running
        self.running = None
        if prompt is not None and not prompt.automatic:
            self.pending.appendleft(prompt)
        self.turn()

    # --- what is decided

    @rule()
    def hesitate(self) -> None:
        """What comes next comes together with something else, before anything is decided."""
        self.hesitates = True

    def turn(self) -> None:
        """Decide, as after every event, unless a segment runs."""
        hesitates, self.hesitates = self.hesitates, False
        if self.running is None and not hesitates:
            self.decide()

    def decide(self) -> None:
        upcoming = self.director.upcoming
        decision = self.director.decide(self.now_s)
        if self.unfinished is not None and not self.stopping:
            assert decision == Start(
                replace(self.unfinished, text=self.words), continues=not self.single_clip, again=True
            )
            self.running, self.unfinished = self.unfinished, None
            return
        # What was said to come next starts, now or when the lead allows it; nothing starts unannounced.
        assert (upcoming is not None) == (isinstance(decision, Start) or getattr(decision, "until_s", None) is not None)
        if self.ended is not None:
            assert isinstance(decision, End), "a stream that has ended goes on"
        match decision:
            case End(reason="stop_requested"):
                assert self.stopping
                self.ended = decision
            case End(reason="segment_cap"):
                assert not self.stopping
                assert self.at_cap == "end"
                assert self.capped
                self.ended = decision
            case End():
                raise AssertionError("the director never ends with an error by itself")
            case Start():
                assert decision.prompt == upcoming
                self.starts(decision)
            case Wait():
                self.waits(decision)

    def starts(self, start: Start) -> None:
        prompt = start.prompt
        assert not self.stopping
        assert not self.paused
        assert not self.capped
        assert prompt.text.strip()
        assert start.continues == (not self.single_clip)
        assert start.resumed == (self.told is not None)
        self.told = None
        if not prompt.automatic:
            # In order, none passed over, none twice.
            assert prompt == self.pending.popleft()
        else:
            assert not self.pending
            assert self.by_itself
            assert self.director.viewer.ahead_ms(self.now_s) <= LEAD_S * 1000 + _TOLERANCE_MS
            self.starts_by_itself(prompt)
        self.running, self.words = prompt, prompt.text

    def starts_by_itself(self, prompt: Prompt) -> None:
        if self.loop and self.at >= len(self.curated):
            self.at = 0
        if self.at < len(self.curated):
            assert (prompt.source, prompt.text) == ("curated", self.curated[self.at])
        else:
            assert prompt.source == "auto_extension"
            assert self.extend
            assert prompt.text == self.story[-1]

    def waits(self, wait: Wait) -> None:
        assert not self.stopping
        assert not (self.capped and self.at_cap == "end")
        assert self.paused or self.capped or not self.pending
        if wait.until_s is not None:
            assert wait.until_s > self.now_s
            assert self.by_itself
        if wait.blocked is not None:
            assert self.by_itself
            assert wait.blocked != self.told
            self.told = wait.blocked

    # --- always

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "director"):
            return
        assert self.director.running == self.running
        assert self.director.paused == self.paused
        assert self.director.stopping == self.stopping
        assert self.director.curated == self.curated
        assert self.director.full == (len(self.pending) >= MAX_PENDING)
        running = [self.words] if self.running is not None and [self.words] != self.story[-1:] else []
        assert self.director.story == [*self.story[-MAX_STORY_PROMPTS:], *running]

    @invariant()
    def every_wish_is_somewhere_once(self) -> None:
        waiting = [prompt.request_id for prompt in self.pending]
        begun = [prompt for prompt in (self.running, self.unfinished) if prompt is not None]
        running = [prompt.request_id for prompt in begun if not prompt.automatic]
        everywhere = [*self.generated, *running, *waiting]
        assert sorted(everywhere, key=str) == sorted(map(str, range(1, self.submitted + 1)))

    # --- the book

    @property
    def by_itself(self) -> bool:
        return (self.loop or self.extend) and not self.single_clip

    @property
    def capped(self) -> bool:
        return not self.single_clip and self.allowance_used >= self.cap

    def set_curated(self, prompts: list[str]) -> None:
        self.curated = [text for text in prompts if text.strip()]
        self.at = 0

    def acted(self) -> None:
        """The client wants it to go on, which lifts a cap that pauses."""
        if self.at_cap == "pause" and self.allowance_used >= self.cap:
            self.allowance_used = 0

    def finished(self) -> Prompt:
        assert self.running is not None
        prompt, self.running = self.running, None
        if prompt.request_id is not None:
            self.generated.append(prompt.request_id)
        return prompt

    def played(self, prompt: Prompt) -> None:
        if prompt.source == "curated" and self.curated[self.at : self.at + 1] == [prompt.text]:
            self.at += 1

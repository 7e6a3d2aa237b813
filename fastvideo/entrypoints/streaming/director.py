"""What a session generates next, decided without sockets, clocks or workers: time comes in as an argument.

The order of sources: what the user asked for; then, only while looping or automatic extension is on, the curated
prompts, their repetition (looping), and the last prompt continued (automatic extension).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from fastvideo.entrypoints.streaming.protocol import BlockReason, CompletionReason, PromptSource
from fastvideo.entrypoints.streaming.viewer_clock import ViewerClock

MAX_STORY_PROMPTS = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one segment is made from; None leaves a value to the operator's defaults. ``automatic``: nobody asked for
    this very segment."""

    text: str
    source: PromptSource = "user"
    negative_prompt: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    request_id: str | None = None
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Generate a segment now. ``resumed``: tell the client that generation goes on after a block. ``again``: it began
    elsewhere, with the prompt in these final words."""

    prompt: Prompt
    continues: bool
    resumed: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until_s``, or before something happens when None. ``blocked``: tell the client why."""

    until_s: float | None = None
    blocked: BlockReason | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The stream is over."""

    reason: CompletionReason


Decision: TypeAlias = Start | Wait | End


@dataclass(frozen=True, slots=True)
class DirectorRules:
    """The operator's side: segments per session, what happens then, the lead of automatic sources, pending prompts."""

    segment_cap: int
    at_cap: Literal["end", "pause"] = "end"
    lead_s: float = 8.0
    max_pending: int = 32


@dataclass(frozen=True, slots=True)
class DirectorRecord:
    """What a director knows, as plain data. ``running``: the prompt of the running segment, which is made from
    ``running_words``, or from its own when None."""

    pending: list[Prompt]
    curated: list[str]
    next_curated: int
    loop: bool
    auto_extension: bool
    paused: bool
    hold: BlockReason | None
    told: BlockReason | None
    allowance_used: int
    running: Prompt | None
    running_words: str | None
    last: Prompt | None
    story: list[str]


class Director:
    """Decides for one session. Ask :meth:`decide` whenever no segment runs and something has changed."""

    def __init__(
        self,
        rules: DirectorRules,
        *,
        curated_prompts: Sequence[str] = (),
        loop: bool = False,
        auto_extension: bool = False,
        single_clip: bool = False,
    ) -> None:
        self._rules = rules
        self._pending: deque[Prompt] = deque()
        self._curated: list[str] = []
        self._next_curated = 0
        self._loop = loop
        self._auto_extension = auto_extension
        self._single_clip = single_clip
        self._paused = False
        self._stopping = False
        self._hold: BlockReason | None = None
        self._told: BlockReason | None = None
        self._unfinished: tuple[Prompt, str | None] | None = None
        self._allowance_used = 0
        self._running: Prompt | None = None
        self._running_words: str | None = None
        self._last: Prompt | None = None
        self._story: deque[str] = deque(maxlen=MAX_STORY_PROMPTS)
        self.viewer = ViewerClock()
        self.replace_curated(curated_prompts)

    # --- going on elsewhere

    def record(self) -> DirectorRecord:
        """All that another director needs to go on from here, the running segment first."""
        running, running_words = self._unfinished or (self._running, self._running_words)
        return DirectorRecord(
            pending=list(self._pending),
            curated=list(self._curated),
            next_curated=self._next_curated,
            loop=self._loop,
            auto_extension=self._auto_extension,
            paused=self._paused,
            hold=self._hold,
            told=self._told,
            allowance_used=self._allowance_used,
            running=running,
            running_words=running_words,
            last=self._last,
            story=list(self._story),
        )

    def restore(self, record: DirectorRecord) -> None:
        """Go on where another one, of the same rules and opening message, was."""
        self._pending = deque(record.pending)
        self._curated = list(record.curated)
        self._next_curated = record.next_curated
        self._loop, self._auto_extension = record.loop, record.auto_extension
        self._paused = record.paused
        self._hold, self._told = record.hold, record.told
        self._allowance_used = record.allowance_used
        self._unfinished = None if record.running is None else (record.running, record.running_words)
        self._last = record.last
        self._story = deque(record.story, maxlen=MAX_STORY_PROMPTS)

    # --- what the client asks for

    @property
    def full(self) -> bool:
        """Whether as many prompts as allowed are pending."""
        return len(self._pending) >= self._rules.max_pending

    def submit(self, prompt: Prompt) -> None:
        """Queue a user's prompt. Raises ValueError when :attr:`full`."""
        if self.full:
            raise ValueError(f"{self._rules.max_pending} prompts are pending already")
        self._pending.append(prompt)
        self._go_on()

    def replace_curated(self, prompts: Sequence[str]) -> None:
        """A new list of curated prompts, from its first one on."""
        self._curated = [text for text in prompts if text.strip()]
        self._next_curated = 0
        self._hold = None

    def set_loop(self, enabled: bool) -> None:
        """Whether the curated prompts start again at their end."""
        self._loop = enabled
        self._hold = None

    def set_auto_extension(self, enabled: bool) -> None:
        """Whether the last prompt goes on by itself."""
        self._auto_extension = enabled
        self._hold = None

    def set_paused(self, paused: bool) -> None:
        """Whether to hold everything after the running segment; lifting the pause goes on beyond a pausing cap."""
        self._paused = paused
        if not paused:
            self._go_on()

    def stop(self) -> None:
        """End the stream; nothing starts any more."""
        self._stopping = True

    @property
    def paused(self) -> bool:
        """Whether everything is held after the running segment."""
        return self._paused

    @property
    def stopping(self) -> bool:
        """Whether nothing starts any more."""
        return self._stopping

    @property
    def curated(self) -> list[str]:
        """The curated prompts; a copy."""
        return list(self._curated)

    # --- what comes next, and what was there

    @property
    def upcoming(self) -> Prompt | None:
        """What starts next, once the lead allows it, if the running segment completes and nobody asks for anything;
        None when that is nothing."""
        segments = self._allowance_used + (self._running is not None)
        if self._stopping or self._paused or self._capped(segments):
            return None
        if self._pending:
            return self._pending[0]
        return self._automatic() if self._by_itself and self._hold is None else None

    @property
    def story(self) -> list[str]:
        """The words of the segments so far, the oldest first, the running one last; nothing twice in a row."""
        words = self._as_made(self._running).text if self._running is not None else None
        return [*self._story, *([words] if words is not None and [words] != list(self._story)[-1:] else [])]

    # --- what became of the running segment

    @property
    def running(self) -> Prompt | None:
        """The prompt of the running segment."""
        return self._running

    def reworded(self, text: str) -> None:
        """The running segment is made from these words."""
        self._expect_running()
        self._running_words = text

    def completed(self) -> None:
        """The running segment is whole and its state is stored."""
        story = self.story
        self._last = self._as_made(self._expect_running())
        self._advance_curated(self._finish())
        self._story = deque(story, maxlen=MAX_STORY_PROMPTS)
        self._allowance_used += 1

    def cancelled(self) -> None:
        """The client cancelled the running segment: automatic sources wait until it asks for something."""
        self._advance_curated(self._finish())
        self._hold = "cancelled"

    def failed(self) -> None:
        """The worker failed: automatic sources do not try again by themselves, which could go on for ever."""
        self._finish()
        self._hold = "worker_failed"

    def postponed(self) -> None:
        """Nothing of the running segment was made, because of a pause: its prompt is the next again."""
        prompt = self._finish()
        if not prompt.automatic:
            self._pending.appendleft(prompt)

    def blocked(self) -> None:
        """The running segment may not be made: its prompt is gone, and an automatic source does not repeat it."""
        prompt = self._finish()
        if prompt.source == "curated":
            before = self._curated[: self._next_curated].count(prompt.text)
            self._curated = [text for text in self._curated if text != prompt.text]
            self._next_curated -= before
        elif prompt.automatic:
            self._hold = "prompt_blocked"

    # --- the decision

    def decide(self, now_s: float) -> Decision:
        """What to do now; a :class:`Start` makes its prompt the running one."""
        if self._running is not None:
            raise RuntimeError("a segment is running: say how it ended before asking for the next")
        if self._stopping:
            return End("stop_requested")
        if self._unfinished is not None:
            # Its client has a part of it perhaps.
            (self._running, self._running_words), self._unfinished = self._unfinished, None
            return Start(self._as_made(self._running), continues=not self._single_clip, again=True)
        if self._capped(self._allowance_used):
            return End("segment_cap") if self._rules.at_cap == "end" else self._blocked("segment_cap")
        if self._paused:
            return self._blocked("paused")
        if self._pending:
            return self._start(self._pending.popleft())
        if not self._by_itself:
            return Wait()
        if self._hold is not None:
            return self._blocked(self._hold)
        automatic = self._automatic()
        if automatic is None:
            return self._blocked("no_prompt")
        too_far_ms = self.viewer.ahead_ms(now_s) - self._rules.lead_s * 1000.0
        if too_far_ms > 0:
            return Wait(until_s=now_s + too_far_ms / 1000.0)
        self._next_curated = self._wrapped(self._next_curated)
        return self._start(automatic)

    def _capped(self, segments: int) -> bool:
        return not self._single_clip and segments >= self._rules.segment_cap

    @property
    def _by_itself(self) -> bool:
        return (self._loop or self._auto_extension) and not self._single_clip

    def _automatic(self) -> Prompt | None:
        """What comes after the running segment, or now when none runs."""
        at, last = self._next_curated, self._last
        if self._running is not None:
            at, last = self._curated_after(self._running), self._as_made(self._running)
        at = self._wrapped(at)
        if at < len(self._curated):
            return Prompt(self._curated[at], source="curated", automatic=True)
        if self._auto_extension and last is not None:
            return Prompt(last.text, source="auto_extension", negative_prompt=last.negative_prompt, automatic=True)
        return None

    def _wrapped(self, at: int) -> int:
        return 0 if self._loop and at >= len(self._curated) else at

    def _as_made(self, prompt: Prompt) -> Prompt:
        return prompt if self._running_words is None else replace(prompt, text=self._running_words)

    def _start(self, prompt: Prompt) -> Start:
        resumed, self._told = self._told is not None, None
        self._running = prompt
        return Start(prompt, continues=not self._single_clip, resumed=resumed)

    def _blocked(self, reason: BlockReason) -> Wait:
        # Only a session that runs by itself is told, and only once per reason.
        if not self._by_itself or self._told == reason:
            return Wait()
        self._told = reason
        return Wait(blocked=reason)

    def _go_on(self) -> None:
        self._hold = None
        if self._rules.at_cap == "pause" and self._allowance_used >= self._rules.segment_cap:
            self._allowance_used = 0

    def _expect_running(self) -> Prompt:
        if self._running is None:
            raise RuntimeError("no segment is running")
        return self._running

    def _finish(self) -> Prompt:
        prompt = self._expect_running()
        self._running = self._running_words = None
        return prompt

    def _curated_after(self, prompt: Prompt) -> int:
        at = self._next_curated
        at_list = at < len(self._curated) and self._curated[at] == prompt.text
        return at + 1 if prompt.source == "curated" and at_list else at

    def _advance_curated(self, prompt: Prompt) -> None:
        self._next_curated = self._curated_after(prompt)

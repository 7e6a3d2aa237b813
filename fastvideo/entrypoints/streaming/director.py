"""What a session generates next, decided without sockets, clocks or workers: time comes in as an argument.

The order of sources: what the user asked for; then, only while looping or automatic extension is on, the curated
prompts, their repetition (looping), and the last prompt continued (automatic extension).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fastvideo.entrypoints.streaming.protocol import CompletionReason, PromptSource
from fastvideo.entrypoints.streaming.viewer_clock import ViewerClock

BlockReason: TypeAlias = Literal["paused", "segment_cap", "no_prompt", "cancelled", "worker_failed"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one segment is made from; None leaves a value to the operator's defaults."""

    text: str
    source: PromptSource = "user"
    negative_prompt: str | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Generate a segment now. ``resumed``: tell the client that generation goes on after a block."""

    prompt: Prompt
    continues: bool
    resumed: bool = False


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
        self._allowance_used = 0
        self._running: Prompt | None = None
        self._last: Prompt | None = None
        self.viewer = ViewerClock()
        self.replace_curated(curated_prompts)

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

    # --- what became of the running segment

    @property
    def running(self) -> Prompt | None:
        """The prompt of the running segment."""
        return self._running

    def completed(self) -> None:
        """The running segment is whole and its state is stored."""
        self._last = self._finish()
        self._advance_curated(self._last)
        self._allowance_used += 1

    def cancelled(self) -> None:
        """The client cancelled the running segment: automatic sources wait until it asks for something."""
        self._advance_curated(self._finish())
        self._hold = "cancelled"

    def failed(self) -> None:
        """The worker failed: automatic sources do not try again by themselves, which could go on for ever."""
        self._finish()
        self._hold = "worker_failed"

    # --- the decision

    def decide(self, now_s: float) -> Decision:
        """What to do now; a :class:`Start` makes its prompt the running one."""
        if self._running is not None:
            raise RuntimeError("a segment is running: say how it ended before asking for the next")
        if self._stopping:
            return End("stop_requested")
        if not self._single_clip and self._allowance_used >= self._rules.segment_cap:
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
        return self._start(automatic)

    @property
    def _by_itself(self) -> bool:
        return (self._loop or self._auto_extension) and not self._single_clip

    def _automatic(self) -> Prompt | None:
        if self._next_curated >= len(self._curated) and self._loop:
            self._next_curated = 0
        if self._next_curated < len(self._curated):
            return Prompt(self._curated[self._next_curated], source="curated")
        if self._auto_extension and self._last is not None:
            return Prompt(self._last.text, source="auto_extension", negative_prompt=self._last.negative_prompt)
        return None

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

    def _finish(self) -> Prompt:
        if self._running is None:
            raise RuntimeError("no segment is running")
        prompt, self._running = self._running, None
        return prompt

    def _advance_curated(self, prompt: Prompt) -> None:
        at_list = self._next_curated < len(self._curated) and self._curated[self._next_curated] == prompt.text
        if prompt.source == "curated" and at_list:
            self._next_curated += 1

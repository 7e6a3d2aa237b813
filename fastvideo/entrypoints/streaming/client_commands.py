"""What a client may say after its opening message, and what is done about it at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

from pydantic import ValidationError

from fastvideo.api.errors import ConfigValidationError, FastVideoError, LimitExceeded
from fastvideo.entrypoints.streaming.director import Prompt
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.message_faults import explain_invalid, invalid_reason
from fastvideo.entrypoints.streaming.opening import Opening, check_curated
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked, PromptGate
from fastvideo.entrypoints.streaming.protocol import (
    AutoExtensionUpdated,
    EnhancementUpdated,
    ErrorMessage,
    ErrorReason,
    GenerationPausedUpdated,
    LoopGenerationUpdated,
    Ping,
    PlaybackStatus,
    Pong,
    PromptStatus,
    RewriteSeedPrompts,
    SeedPromptsUpdated,
    SegmentCancel,
    SegmentPromptSource,
    SessionInitV2,
    SessionResume,
    SessionStop,
    SnapshotState,
    parse_client_text,
)
from fastvideo.entrypoints.streaming.seed_rewrites import SeedRewrites
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.stall_count import StallCount
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper

MAX_MESSAGE_CHARS = 1 << 20
# Prompts of which a client may not know whether they were heard when its connection broke.
_MOST_REPEATED = 64


class ClientCommands:
    """Turns frames into commands for the director. Nothing here waits for a generation.

    ``gate`` says what may be used, ``rewrites`` asks for other words, ``cancel_segment`` stops the running segment;
    ``clock`` gives monotonic seconds; ``stalled`` is told how often the player newly ran dry. ``heard_elsewhere``: ids
    of prompts that another server took, which their client may send again.
    """

    def __init__(
        self,
        opening: Opening,
        session: Session,
        *,
        post: SessionPost,
        states: StateKeeper,
        gate: PromptGate,
        rewrites: SeedRewrites,
        cancel_segment: Callable[[], None],
        clock: Callable[[], float],
        stalled: Callable[[int], None],
        heard_elsewhere: Iterable[str] = (),
    ) -> None:
        self._opening = opening
        self._director = opening.director
        self._session = session
        self._post = post
        self._states = states
        self._gate = gate
        self._rewrites = rewrites
        self._cancel_segment = cancel_segment
        self._clock = clock
        self._stalled = stalled
        self._stalls = StallCount(clock())
        self._prompts: deque[SegmentPromptSource] = deque(maxlen=_MOST_REPEATED)
        self._repeatable: list[SegmentPromptSource] = []
        self._heard_elsewhere = set(heard_elsewhere)

    def resumed(self) -> None:
        """The client is back and may not know which of its prompts were heard: it may send those again."""
        self._repeatable = list(self._prompts)

    async def answer(self, frame: str | bytes) -> None:
        """Do what a frame asks for; a frame that asks for nothing sensible is answered with an error."""
        if isinstance(frame, bytes):
            await self._post.put(_invalid("Binary messages are not expected from a client."))
            return
        if len(frame) > MAX_MESSAGE_CHARS:
            await self._post.put(_invalid(f"Expected at most {MAX_MESSAGE_CHARS} characters.", "limit_exceeded"))
            return
        try:
            message = parse_client_text(frame)
        except ValidationError as error:
            await self._post.put(_invalid(explain_invalid(error), invalid_reason(error)))
            return
        director, session = self._director, self._session
        if not isinstance(message, Ping | PlaybackStatus):
            # Those two come from a page that is merely open.
            session.touch(now=self._clock())
        match message:
            case Ping():
                await self._post.put(Pong(id=message.id))
            case PlaybackStatus():
                director.viewer.reported(message.position_ms, self._clock())
                self._stalled(self._stalls.reported(message.stalls, self._clock()))
            case SegmentPromptSource():
                await self._take_prompt(message)
            case SnapshotState():
                await self._send_snapshot()
            case SegmentCancel():
                self._cancel_segment()
            case SessionStop():
                director.stop()
                self._cancel_segment()
            case SeedPromptsUpdated():
                await self._replace_curated(message.seed_prompts)
            case RewriteSeedPrompts():
                await self._rewrites.ask(message)
            case LoopGenerationUpdated():
                session.loop_generation_enabled = message.enabled
                director.set_loop(message.enabled)
            case AutoExtensionUpdated():
                session.auto_extension_enabled = message.enabled
                director.set_auto_extension(message.enabled)
            case EnhancementUpdated():
                session.enhancement_enabled = message.enabled
            case GenerationPausedUpdated():
                session.generation_paused = message.paused
                director.set_paused(message.paused)
            case SessionInitV2() | SessionResume():
                await self._post.put(_invalid(f"The session is open; {message.type} can only be the first message."))

    async def _take_prompt(self, message: SegmentPromptSource) -> None:
        if message.request_id is not None:
            if message in self._repeatable:
                # What became of it is told in the stream already.
                self._repeatable.remove(message)
                return
            if message.request_id in self._heard_elsewhere:
                self._heard_elsewhere.remove(message.request_id)
                self._prompts.append(message)
                return
            self._prompts.append(message)
        prompt = Prompt(
            message.prompt,
            source=message.source,
            negative_prompt=message.negative_prompt,
            seed=message.seed,
            num_inference_steps=message.num_inference_steps,
            guidance_scale=message.guidance_scale,
            request_id=message.request_id,
        )
        self._post.log("prompt", prompt=prompt.text, source=prompt.source, request_id=prompt.request_id)
        try:
            self._opening.requests.check(prompt)
            self._gate.check(prompt.text)
            if self._director.full:
                raise LimitExceeded("prompt", "as many prompts as allowed are waiting already")
        except (ConfigValidationError, PromptBlocked) as error:
            refusal = error_message(error)
            await self._post.put(refusal)
            await tell_prompt(self._post, prompt, "rejected", refusal.reason or refusal.code)
        else:
            # Told first, so that it always comes before "applied".
            await tell_prompt(self._post, prompt, "pending")
            self._director.submit(prompt)

    async def _replace_curated(self, prompts: list[str]) -> None:
        try:
            check_curated(prompts, self._opening.requests, "seed_prompts")
            await self._gate.check_all(prompts)
        except (ConfigValidationError, PromptBlocked) as error:
            await self._post.put(error_message(error))
        else:
            self._session.curated_prompts = list(prompts)
            self._director.replace_curated(prompts)

    async def _send_snapshot(self) -> None:
        try:
            text = await self._states.snapshot_text()
        except FastVideoError as error:
            await self._post.put(error_message(error))
            return
        if text is None:
            await self._post.put(ErrorMessage(message="There is no state yet: no segment is complete."))
        else:
            await self._post.put_text(text)


async def tell_prompt(
    post: SessionPost, prompt: Prompt, status: Literal["pending", "applied", "rejected"], reason: str | None = None
) -> None:
    """Tell what became of a prompt, when its sender wants to know."""
    if prompt.request_id is not None:
        await post.put(PromptStatus(request_id=prompt.request_id, status=status, reason=reason))


def _invalid(text: str, reason: ErrorReason | None = None) -> ErrorMessage:
    return ErrorMessage(code="invalid_message", message=text, retryable=True, reason=reason)

"""A session whose opening message was accepted: what its segments are made from, until it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.ask_budget import AskBudget
from fastvideo.entrypoints.streaming.client_commands import ClientCommands
from fastvideo.entrypoints.streaming.endings import SessionOver
from fastvideo.entrypoints.streaming.opening import Opening, OpeningRefused, discard_image, open_session
from fastvideo.entrypoints.streaming.prompt_work import PromptWork
from fastvideo.entrypoints.streaming.protocol import SessionInitV2
from fastvideo.entrypoints.streaming.seed_rewrites import SeedRewrites
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper
from fastvideo.entrypoints.streaming.text_ahead import TextAhead


@dataclass(frozen=True)
class OpenedSession:
    """Whoever holds this closes it. ``commands`` answers what the client says; ``ahead`` is None where no text is to be
    encoded ahead."""

    opening: Opening
    prompts: PromptWork
    ahead: TextAhead | None
    rewrites: SeedRewrites
    commands: ClientCommands

    async def close(self) -> None:
        """Delete the initial image's file, and end the work on prompts."""
        discard_image(self.opening.image)
        for work in (self.prompts, self.rewrites):
            await work.close()


async def open_up(
    message: SessionInitV2,
    session: Session,
    server: ServerState,
    *,
    post: SessionPost,
    states: StateKeeper,
    cancel_segment: Callable[[], None],
    heard_elsewhere: Iterable[str] = (),
) -> OpenedSession:
    """Open ``session`` as the message says; ``heard_elsewhere`` as for ClientCommands.

    Raises SessionOver when it cannot be used.
    """
    try:
        opening = await open_session(
            message, server.serve_config, server.session_presets, server.pool.request_defaults, server.signatures
        )
    except OpeningRefused as refusal:
        raise SessionOver(endings.refused(refusal.message, refusal.close_reason)) from None
    _describe(session, message)
    session.touch(now=server.clock())
    gate, director, limits = server.prompts, opening.director, server.streaming.limits
    budget = AskBudget(limits.max_model_requests_per_minute)
    rewrites = SeedRewrites(gate, director, limits, budget, post=post, clock=server.clock)
    prompts, ahead = PromptWork(gate, session, director, budget, clock=server.clock), None
    if server.streaming.pacing.encode_ahead:
        ahead = TextAhead(prompts, server.pool, session, opening.requests, gate)
        prompts.on_look = ahead.look
    return OpenedSession(
        opening,
        prompts,
        ahead,
        rewrites,
        ClientCommands(
            opening,
            session,
            post=post,
            states=states,
            gate=gate,
            rewrites=rewrites,
            cancel_segment=cancel_segment,
            clock=server.clock,
            stalled=server.metrics.stalls.inc,
            heard_elsewhere=heard_elsewhere,
        ),
    )


def _describe(session: Session, message: SessionInitV2) -> None:
    session.client_id, session.preset = message.client_id, message.preset
    session.preset_label = message.preset_label
    session.curated_prompts = list(message.curated_prompts)
    session.enhancement_enabled = message.enhancement_enabled
    session.auto_extension_enabled = message.auto_extension_enabled
    session.loop_generation_enabled = message.loop_generation_enabled
    session.single_clip_mode = message.single_clip_mode
    session.metadata = dict(message.model_extra or {})

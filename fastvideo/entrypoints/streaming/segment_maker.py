"""Makes a session's segments one after the other, and keeps the record with which they go on elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastvideo.api.errors import FastVideoError, GenerationCancelled
from fastvideo.entrypoints.streaming import endings
from fastvideo.entrypoints.streaming.client_commands import tell_prompt
from fastvideo.entrypoints.streaming.director import DirectorRecord, Prompt, Start
from fastvideo.entrypoints.streaming.endings import SessionOver
from fastvideo.entrypoints.streaming.error_messages import error_message
from fastvideo.entrypoints.streaming.opened_session import OpenedSession
from fastvideo.entrypoints.streaming.prompt.gate import PromptBlocked
from fastvideo.entrypoints.streaming.prompt_work import PromptPostponed
from fastvideo.entrypoints.streaming.protocol import SegmentCancelled
from fastvideo.entrypoints.streaming.segment_channel import ReaderTooSlow
from fastvideo.entrypoints.streaming.segment_coding import TimelineBroken
from fastvideo.entrypoints.streaming.segment_events import SegmentJob
from fastvideo.entrypoints.streaming.segment_run import SegmentRun
from fastvideo.entrypoints.streaming.segment_trace import SegmentTrace
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_keeping import SessionKeeping
from fastvideo.entrypoints.streaming.session_lease import LeaseLost
from fastvideo.entrypoints.streaming.session_post import SessionPost
from fastvideo.entrypoints.streaming.session_record import SessionRecord
from fastvideo.entrypoints.streaming.tracing import Span
from fastvideo.media.timeline import MediaCursor


class SegmentMaker:
    """One session's. ``cursor``: where the next segment stands on the timeline; ``segment``: the one that is made now.

    ``token_digest``: of the resume token; ``owner``: the name of the API key that the session was opened with;
    ``seen``: the last fragment that the client has of a segment that began on another server; ``span``: the session's.
    """

    def __init__(
        self,
        opened: OpenedSession,
        session: Session,
        server: ServerState,
        *,
        post: SessionPost,
        keeping: SessionKeeping,
        stream_id: str,
        cursor: MediaCursor,
        token_digest: bytes,
        owner: str | None,
        seen: int,
        span: Span,
    ) -> None:
        self._opened = opened
        self._opening = opened.opening
        self._session = session
        self._server = server
        self._post = post
        self._keeping = keeping
        self._states = keeping.states
        self._stream_id = stream_id
        self._token_digest = token_digest
        self._owner = owner
        self._seen = seen
        self._span = span
        self._kept: tuple[DirectorRecord, bool] | None = None
        self.cursor = cursor
        self.segment: SegmentRun | None = None

    async def make(self, start: Start, bind: Callable[[], Awaitable[None]]) -> None:
        """Make one segment and tell how it went; ``bind`` gets a worker. Raises SessionOver when none can follow."""
        director, session, outcomes = self._opening.director, self._session, self._server.metrics.segments
        trace = SegmentTrace(self._span, session.segment_idx, start.prompt.source)
        # As for a session that ends meanwhile.
        outcome, code = "interrupted", None
        segment = self.segment = SegmentRun(
            start,
            session,
            self._server,
            director=director,
            prompts=self._opened.prompts,
            ahead=self._opened.ahead,
            post=self._post,
            states=self._states,
            stream_id=self._stream_id,
            cursor=self.cursor,
            trace=trace,
            seen=self._seen if start.again else 0,
        )
        try:
            await segment.run(bind, lambda prompt: self._job(start, prompt))
        except GenerationCancelled:
            outcome = "cancelled"
            director.cancelled()
            outcomes.labels("cancelled").inc()
            self._post.log("segment_cancelled", segment_idx=session.segment_idx)
            await self._post.put(SegmentCancelled(segment_idx=session.segment_idx))
        except PromptPostponed:
            outcome = "postponed"
            director.postponed()
        except PromptBlocked as error:
            outcome = "blocked"
            director.blocked()
            outcomes.labels("blocked").inc()
            self._post.log("prompt_blocked", segment_idx=session.segment_idx, source=start.prompt.source)
            await self._post.put(error_message(error))
            await tell_prompt(self._post, start.prompt, "rejected", error.reason)
        except ReaderTooSlow as error:
            raise SessionOver(endings.too_slow(error_message(error))) from None
        except LeaseLost:
            raise SessionOver(endings.moved()) from None
        except FastVideoError as error:
            outcome, code = "failed", error.code
            outcomes.labels("failed").inc()
            if isinstance(error, TimelineBroken):
                raise SessionOver(endings.timeline_broken(error_message(error))) from None
            director.failed()
            await self._post.put(error_message(error))
        else:
            outcome = "complete"
            director.completed()
            session.segment_idx += 1
            outcomes.labels("complete").inc()
        finally:
            self.cursor = segment.cursor
            self.segment = None
            trace.end(outcome, code)
            session.touch(now=self._server.clock())
        self._post.in_segment = False
        await self.keep_record()

    async def keep_record(self) -> None:
        """Let the stores have what it takes to go on elsewhere."""
        session = self._session
        if self._opening.image is not None and session.segment_idx == 0:
            # It is not stored, and without it the segment would be another one.
            return
        self._kept = director, enhancement_enabled = self._wishes()
        await self._keeping.record(
            SessionRecord(
                token_digest=self._token_digest,
                stream_id=self._stream_id,
                segment_idx=session.segment_idx,
                cursor=self.cursor,
                opening=self._opening.message,
                enhancement_enabled=enhancement_enabled,
                director=director,
                state=session.continuation_state,
                owner=self._owner,
            )
        )

    async def keep_wishes(self) -> None:
        """The same, if the client wishes something else by now: a pause, say, may last for long."""
        if self._kept != self._wishes():
            await self.keep_record()

    def _wishes(self) -> tuple[DirectorRecord, bool]:
        return self._opening.director.record(), self._session.enhancement_enabled

    async def _job(self, start: Start, prompt: Prompt) -> SegmentJob:
        await self.keep_record()
        index, streaming = self._session.segment_idx, self._server.streaming
        image = self._opening.image if index == 0 else None
        request = self._opening.requests.build(
            prompt,
            segment_idx=index,
            state=await self._states.whole() if start.continues else None,
            image_path=image.path if image is not None else None,
        )
        self._server.prompts.check_request(request)
        return SegmentJob(request, self.cursor, index, streaming.encoder, streaming.burn_in_timecode)

"""How a video is made: one segment after the other, by whichever worker has a turn for it, into one MP4 file.

After each segment the job's record says how far it is whole. A server that was killed goes on from there: the segment
that it was making is made again, and as the same job gives the same bytes, what is in the file of it is passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import GenerationFailed, StateInvalid
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.openai.job import Job
from fastvideo.entrypoints.openai.job_requests import JobRequests, VideoPlan
from fastvideo.entrypoints.openai.results import Results, to_its_end
from fastvideo.entrypoints.streaming.pool_base import GpuPool
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.recordings.media_file import MediaFile
from fastvideo.entrypoints.streaming.segment_events import (
    SegmentDone,
    SegmentFragment,
    SegmentInit,
    SegmentJob,
    SegmentProgress,
)
from fastvideo.media.boxes import BoxError
from fastvideo.media.encoder import flush_stream
from fastvideo.media.timeline import MediaCursor

logger = logging.getLogger(__name__)

Save = Callable[[Job], Awaitable[None]]

# Of a segment's time, what goes by before its first frame.
_STEPS_SHARE = 0.8


class VideoWork:
    """Makes videos. ``encoder``: as in ``streaming.encoder``."""

    def __init__(
        self, pool: GpuPool, requests: JobRequests, results: Results, gate: PromptGate, *, encoder: str = "auto"
    ) -> None:
        self._pool = pool
        self._requests = requests
        self._results = results
        self._gate = gate
        self._encoder = encoder

    async def make(self, job: Job, save: Save) -> None:
        """Make what the job asks for, or what is left of it; ``save`` stores its record after each segment.

        Cancelling this gives the worker back within one step. Raises FastVideoError, OSError and BoxError.
        """
        record = job.record
        plan = self._requests.video(record.fields)
        path = self._results.path(record.id, ".mp4")
        file = await asyncio.to_thread(_recovered, path) if record.segments_done else None
        if file is None:
            # Whatever there is of it has no beginning.
            record.segments_done = record.frames_done = 0
            record.cursor, record.generation_ms = None, 0.0
            await asyncio.to_thread(path.unlink, missing_ok=True)
        begun = file is not None
        state = await asyncio.to_thread(self._results.read_state, record.id, begun=begun)
        media = _Media(path, file)
        try:
            await self._pool.join_job(record.id)
            while not plan.done(record.frames_done):
                state = await self._segment(job, plan, state, media)
                if state is not None:
                    await asyncio.to_thread(self._results.write_state, record.id, state)
                await save(job)
            await media.finish(_cursor(job))
        finally:
            await self._pool.release(record.id)
            await media.close()
        record.output_bytes = path.stat().st_size
        await to_its_end(self._results.finish, path)
        record.outputs = [path.name]
        record.seconds = _seconds(record.frames_done, plan.request.sampling.fps)
        await to_its_end(self._results.remove_work, record.id, keep_state=record.return_state)

    async def _segment(
        self, job: Job, plan: VideoPlan, state: ContinuationState | None, media: _Media
    ) -> ContinuationState | None:
        record = job.record
        image = str(self._results.folder / record.image) if record.image is not None else None
        request = plan.segment(record.segments_done, record.frames_done, state, image)
        self._gate.check_request(request)
        share = min(1.0, request.sampling.num_frames / plan.frames)
        before = record.frames_done / plan.frames
        work = SegmentJob(request, _cursor(job), record.segments_done, self._encoder)
        start_ms = float(work.cursor.end_s) * 1000.0
        length_ms = 1000.0 * request.sampling.num_frames / request.sampling.fps
        done: SegmentDone | None = None
        cancel = CancellationToken()
        async with contextlib.aclosing(self._pool.stream(record.id, work, cancel=cancel)) as events:
            async for event in events:
                match event:
                    case SegmentProgress():
                        job.advance(before + share * _STEPS_SHARE * event.step / max(1, event.total_steps))
                    case SegmentInit():
                        await media.begin(event.data)
                    case SegmentFragment():
                        await media.append(event.data)
                        shown = min(1.0, (event.pts_ms + event.duration_ms - start_ms) / length_ms)
                        job.advance(before + share * (_STEPS_SHARE + (1 - _STEPS_SHARE) * shown))
                    case SegmentDone():
                        done = event
        if done is None:
            raise GenerationFailed("the pool ended a segment without its result")
        record.segments_done += 1
        record.frames_done += done.frames
        record.cursor = done.cursor.to_dict()
        record.generation_ms += done.generation_ms
        record.note_peak_memory(done.peak_memory_mb)
        return done.state


class _Media:
    """The file that grows. One thread does everything to it, in order: it is never closed under a write that whoever
    asked for it does not wait for any more."""

    def __init__(self, path: Path, file: MediaFile | None) -> None:
        self._path = path
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="job-file")

    async def begin(self, init: bytes) -> None:
        await self._called(lambda: self._begin(init))

    async def append(self, data: bytes) -> None:
        await self._called(lambda: self._opened().append(data))

    async def finish(self, cursor: MediaCursor) -> None:
        await self._called(lambda: self._finish(cursor))

    async def close(self) -> None:
        closed = self._called(self._close)
        self._thread.shutdown(wait=False)
        await closed

    def _begin(self, init: bytes) -> None:
        if self._file is None:
            self._file = MediaFile.create(self._path, init)

    def _finish(self, cursor: MediaCursor) -> None:
        fragments, _ = flush_stream(cursor)
        for fragment in fragments:
            self._opened().append(fragment.data)
        self._opened().finish()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> MediaFile:
        if self._file is None:
            raise GenerationFailed("the generator returned no frames")
        return self._file

    def _called(self, work: Callable[[], None]) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)


def _recovered(path: Path) -> MediaFile | None:
    try:
        return MediaFile.recover(path)
    except (FileNotFoundError, BoxError):
        logger.warning("the file of %s cannot be gone on with; it is made anew", path.stem)
        return None


def _cursor(job: Job) -> MediaCursor:
    try:
        return MediaCursor.start() if job.record.cursor is None else MediaCursor.from_dict(job.record.cursor)
    except StateInvalid:
        raise GenerationFailed("what was stored of the video cannot be used") from None


def _seconds(frames: int, fps: int) -> str:
    return f"{frames / fps:.3f}".rstrip("0").rstrip(".")

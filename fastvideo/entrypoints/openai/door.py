"""What the routes of the HTTP API share, and how it is opened beside a server's live streams."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from fastapi import Request

from fastvideo.api.errors import ImageInvalid
from fastvideo.api.schema import OpenAIConfig
from fastvideo.entrypoints.access.access_control import AccessControl
from fastvideo.entrypoints.access.caller import Caller
from fastvideo.entrypoints.openai.api_errors import ApiError, not_found, unavailable
from fastvideo.entrypoints.openai.image_work import ImageWork
from fastvideo.entrypoints.openai.job import Job, JobFault, JobRecord, Kind
from fastvideo.entrypoints.openai.job_requests import JobRequests
from fastvideo.entrypoints.openai.jobs import Jobs
from fastvideo.entrypoints.openai.request_body import BodyReader, RequestBody
from fastvideo.entrypoints.openai.results import INPUT_ENDING, Results, open_results
from fastvideo.entrypoints.openai.stores import JobStore
from fastvideo.entrypoints.openai.utils import first_image, save_image_to_path
from fastvideo.entrypoints.openai.video_work import VideoWork
from fastvideo.entrypoints.streaming.recordings.file_answer import FileAnswer
from fastvideo.entrypoints.streaming.recordings.open_file import ReadableFile
from fastvideo.entrypoints.streaming.server_state import ServerState
from fastvideo.entrypoints.streaming.session_store import LeasingSessionStore
from fastvideo.entrypoints.streaming.store_urls import open_sessions

JOBS_PATH = "openai.jobs"
# Records are small; what is large of a job lies with its results.
_MAX_STORE_BYTES = 1 << 30
# A job may wait for long before it ends, and is kept from then on.
_LONGEST_WAIT_S = 7 * 86_400.0
# Each reader of a file holds a descriptor, and each of events a connection.
MAX_READERS = 128
_PIECE_BYTES = 4 << 20
# What has such a fault was the request's own.
_CLIENTS_FAULTS = frozenset({"invalid_value", "limit_exceeded", "prompt_blocked", "state_invalid", "image_invalid"})


@dataclass
class OpenAIDoor:
    """The parts behind the routes."""

    config: OpenAIConfig
    server: ServerState
    jobs: Jobs
    results: Results
    requests: JobRequests
    _access: AccessControl
    bodies: BodyReader = field(default_factory=BodyReader)
    opened_at: int = field(default_factory=lambda: int(time.time()))
    _readers: int = 0

    @property
    def model_id(self) -> str:
        """What the served model is called; of a file its name, whose place is nobody's business."""
        return self.server.pool.model_id or self.model_path

    @property
    def model_path(self) -> str:
        """The model as the operator names it, without the folders that it lies in."""
        path = self.server.serve_config.generator.model_path
        scheme, colon, _ = path.partition(":")
        return path if colon and len(scheme) > 1 else PurePath(path).name

    def caller(self, request: Request) -> Caller:
        """Who asks, which counts as a message of theirs. Raises AccessRefused for strangers, and for pages of other
        sites; QuotaExceeded for a request too many."""
        caller = self._access.client(request)
        self.server.quotas.take_message(caller, self.server.clock())
        return caller

    def lister(self, request: Request) -> Caller:
        """Who asks for the list, as ``openai.listing`` lets them. Raises what :meth:`caller` does, and ApiError."""
        if self._access.required or self.config.listing == "everyone":
            return self.caller(request)
        if self.config.listing == "nobody":
            raise ApiError(403, "Videos are not listed here (openai.listing).", code="unauthorized")
        return self._access.admin(request)

    def sees(self, caller: Caller, record: JobRecord) -> bool:
        """Whether a job is a caller's: of the same key, where keys are asked for."""
        return caller.admin or not self._access.required or record.owner == caller.key

    def taken_by(self, request: Request) -> Caller:
        """Who asks for a job. Raises what :meth:`caller` does, and ApiError when nothing can be asked for now."""
        caller = self.caller(request)
        if self.server.draining or self.jobs.draining:
            raise unavailable("The server is shutting down.", "draining")
        if self.server.start_failure is not None:
            raise unavailable("The model could not be loaded.", "model_not_loaded")
        return caller

    async def submit(self, record: JobRecord, caller: Caller, segments: int) -> Job:
        """Queue a job, all of whose segments count now; the files of one that is not taken are removed.

        Raises FastVideoError.
        """
        try:
            # What is not taken does not count.
            self.jobs.check_room()
            self.server.quotas.take_segments(caller, segments, self.server.clock())
            job = await self.jobs.submit(record)
        except BaseException:
            await asyncio.to_thread(self.results.remove, record.id)
            raise
        if job.id != record.id:
            await asyncio.to_thread(self.results.remove, record.id)
        return job

    async def keep_image(self, record: JobRecord, images: Sequence[bytes | str], label: str) -> None:
        """Check and keep the image that a job begins with, if there is one. Raises ApiError."""
        if not images:
            return
        try:
            image = first_image(images, label)
            path = await save_image_to_path(image, self.results.path(record.id, INPUT_ENDING), label=label)
        except ImageInvalid as error:
            raise ApiError(400, f"{str(error)[:400]}.", param=label, code="image_invalid") from None
        record.image = path.name

    def key_of(self, request: Request, body: RequestBody, caller: Caller) -> tuple[str | None, str]:
        """A caller's idempotency key, and what tells what came with it. Raises ApiError for a key that is none."""
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= 255:
            raise ApiError(400, "Expected an idempotency key of 1 to 255 characters.", param="Idempotency-Key")
        return None if key is None else f"{caller.key or ''}:{key}", f"{request.url.path}:{body.digest}"

    async def wait(self, job: Job, request: Request) -> JobRecord:
        """The job once it is done. A client that leaves takes it along. Raises ApiError for one that failed."""
        over = asyncio.ensure_future(self.jobs.outcome(job))
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({over, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                await self.jobs.delete(job)
                raise ApiError(499, "The client has left.", code="client_left")
            if not over.result():
                raise unavailable("The server is shutting down.", "draining")
        finally:
            for waiting in (over, gone):
                waiting.cancel()
            await asyncio.gather(over, gone, return_exceptions=True)
        if job.deleted:
            raise not_found("job any more; it was deleted", "id", "deleted")
        fault = job.record.error
        if fault is not None:
            raise fault_error(fault)
        return job.record

    async def file_answer(self, request: Request, name: str, media_type: str) -> FileAnswer | None:
        """The answer with a finished file, or with a part of it; None when there is none. Raises ApiError."""
        self.enter_reader()
        try:
            file = await asyncio.to_thread(self.results.open, name)
        except BaseException:
            self.leave_reader()
            raise
        if file is None:
            self.leave_reader()
            return None
        return FileAnswer(file, request.headers, media_type, closed=self.leave_reader)

    def enter_reader(self) -> None:
        """Somebody begins to read. Raises ApiError when too many do."""
        if self._readers >= MAX_READERS:
            raise unavailable("Too many results are being read; try again.", "busy")
        self._readers += 1

    def leave_reader(self) -> None:
        """Somebody has read."""
        self._readers -= 1

    async def base64_of(self, name: str) -> str:
        """A finished file as base64. Raises ApiError when it is gone."""
        file = await asyncio.to_thread(self.results.open, name)
        if file is None:
            raise not_found("result any more", "id", "not_found")
        try:
            return await asyncio.to_thread(lambda: base64.b64encode(_whole(file)).decode("ascii"))
        finally:
            file.close()

    async def open(self) -> None:
        """Go on with the jobs that are stored. Raises StoreUnavailable."""
        await self.jobs.open()

    async def close(self) -> None:
        """Break off what runs, and let go of store and folder."""
        await self.jobs.close()


def open_door(server: ServerState, access: AccessControl) -> OpenAIDoor:
    """The API's parts for a server, with store and folder open. May wait for a disk or a network.

    Raises ConfigValidationError, StoreUnavailable and OSError.
    """
    serve_config = server.serve_config
    config = serve_config.openai or OpenAIConfig()
    pool, gate, streaming = server.pool, server.prompts, server.streaming
    requests = JobRequests(
        serve_config.default_request,
        streaming.limits,
        pool.request_defaults,
        max_seconds=config.max_seconds,
        end_offset_frames=streaming.pool.conditioning_end_offset,
    )
    results = open_results(config.results, serve_config.server.output_dir, ttl_s=config.keep_seconds)
    try:
        store = JobStore(_open_jobs(config, results.folder), server.holder)
    except BaseException:
        results.close()
        raise
    work: dict[Kind, Any] = {
        "video": VideoWork(pool, requests, results, gate, encoder=streaming.encoder),
        "image": ImageWork(pool, requests, results, gate),
    }
    ended = server.metrics.jobs_ended
    jobs = Jobs(config, store, results, work, ended=lambda record: ended.labels(record.kind, record.status).inc())
    door = OpenAIDoor(config, server, jobs, results, requests, access)
    server.leaving.append(door.jobs.drain)
    server.metrics.jobs.labels("waiting").set_function(lambda: door.jobs.waiting)
    server.metrics.jobs.labels("running").set_function(lambda: door.jobs.running)
    return door


def _open_jobs(config: OpenAIConfig, folder: Path) -> LeasingSessionStore:
    url = config.jobs if config.jobs is not None else f"file:{quote(str(folder.absolute()))}"
    ttl_s = config.keep_seconds + _LONGEST_WAIT_S
    return open_sessions(url, ttl_s=ttl_s, max_bytes=_MAX_STORE_BYTES, name="jobs", path=JOBS_PATH)


def fault_error(fault: JobFault) -> ApiError:
    """The answer to a client that waited for a job that failed."""
    if fault.code in _CLIENTS_FAULTS:
        return ApiError(400, fault.message, code=fault.code)
    if fault.code == "gpu_unavailable":
        return unavailable(fault.message, fault.code)
    return ApiError(500, fault.message, kind="server_error", code=fault.code)


def _whole(file: ReadableFile) -> bytes:
    data = bytearray()
    while piece := file.read(len(data), _PIECE_BYTES):
        data += piece
    return bytes(data)


def url_of(request: Request, path: str) -> str:
    """The address of something of this server's, as this client reaches it."""
    return f"{str(request.base_url).rstrip('/')}{path}"


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def client_fields(**values: Any) -> dict[str, Any]:
    """What a client really set."""
    return {name: value for name, value in values.items() if value is not None}

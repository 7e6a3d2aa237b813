"""One job over HTTP: asked for, followed to its end, and removed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from fastvideo.entrypoints.bench.job import JobOutcome, JobRequest

# What servers without events are asked in.
POLL_S = 1.0
_CONNECT_S = 10.0
_REMOVE_S = 10.0
_OVER = frozenset({"completed", "failed", "cancelled", "deleted"})


class JobClient:
    """Talks to one server, whose address ends before ``/v1``. A job may take ``timeout_s``."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float,
        api_key: str | None = None,
        keep: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout_s = timeout_s
        self._keep = keep
        # Jobs run as long as they run: their time limit is one around all of it.
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            transport=transport,
            # A proxy of the environment is not what is to be measured.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ready(self) -> bool:
        """Whether the server takes requests. Servers that do not say so are ready when they answer.

        Raises OSError when nobody answers.
        """
        try:
            answer = await self._http.get("/readyz", timeout=_CONNECT_S)
        except httpx.HTTPError as error:
            raise ConnectionError(type(error).__name__) from error
        return answer.is_success or answer.status_code in (401, 403, 404, 405)

    async def run(self, request: JobRequest, outcome: JobOutcome, clock: Callable[[], float]) -> None:
        """Have one job made; ``outcome`` tells how it went. What this began on the server is removed."""
        outcome.sent_s = clock()
        self_made: list[str] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                fault = await self._made(request, outcome, self_made)
            outcome.fault, outcome.ended_s = fault, clock()
        except TimeoutError:
            outcome.fault, outcome.ended_s = f"not done in {self._timeout_s:g} s", clock()
        except (httpx.ConnectError, httpx.ConnectTimeout):
            outcome.fault, outcome.ended_s = "unreachable", clock()
        except httpx.HTTPError:
            outcome.fault, outcome.ended_s = "connection lost", clock()
        except (ValueError, KeyError, TypeError):
            outcome.fault, outcome.ended_s = "answer that is none", clock()
        finally:
            if self_made and not self._keep:
                with contextlib.suppress(httpx.HTTPError):
                    await asyncio.shield(self._http.delete(f"/v1/videos/{self_made[0]}", timeout=_REMOVE_S))

    async def _made(self, request: JobRequest, outcome: JobOutcome, self_made: list[str]) -> str | None:
        """What went wrong, None for nothing."""
        if not request.task.gives_video:
            path = "/v1/images" if request.image is None else "/v1/images/edits"
            answer = await self._http.post(path, json=request.body())
            if not answer.is_success:
                return _fault(answer)
            _note(outcome, answer.json())
            return None
        answer = await self._http.post("/v1/videos", json=request.body())
        if not answer.is_success:
            return _fault(answer)
        video = answer.json()
        self_made.append(_identifier(video))
        video = await self._followed(self_made[0], video)
        if video["status"] != "completed":
            error = video.get("error") or {}
            return f"{video['status']}: {error.get('code') or 'no reason given'}"
        _note(outcome, video)
        return None

    async def _followed(self, video_id: str, video: dict[str, Any]) -> dict[str, Any]:
        """The video when it is over: told by events, or asked for where there are none."""
        if video["status"] in _OVER:
            return video
        async with self._http.stream("GET", f"/v1/videos/{video_id}/events") as events:
            if events.is_success and events.headers.get("content-type", "").startswith("text/event-stream"):
                async for line in events.aiter_lines():
                    if line.startswith("data:"):
                        video = json.loads(line.removeprefix("data:"))
        while video["status"] not in _OVER:
            answer = await self._http.get(f"/v1/videos/{video_id}")
            if not answer.is_success:
                return {"status": "failed", "error": {"code": _fault(answer)}}
            video = answer.json()
            if video["status"] not in _OVER:
                await asyncio.sleep(POLL_S)
        return video


async def wait_for_service(base_url: str, timeout: float = 1200) -> None:  # noqa: ASYNC109
    """Return once the server at ``base_url`` takes requests; 0 asks once.

    Raises ConnectionError when nobody answered for ``timeout`` seconds, or the server was not ready by then.
    """
    until_s = time.monotonic() + timeout
    async with JobClient(base_url, timeout_s=timeout) as client:
        while True:
            try:
                if await client.ready():
                    return
                said = "it answers, and is not ready yet"
            except OSError as error:
                said = f"nobody answers there ({error})"
            if time.monotonic() >= until_s:
                raise ConnectionError(
                    f"expected a running server at {base_url}: {said}; start one with 'fastvideo serve', "
                    "say --base-url, or give it time with --wait SECONDS"
                )
            await asyncio.sleep(min(POLL_S, max(0.05, timeout / 20)))


def _identifier(video: dict[str, Any]) -> str:
    found = video["id"]
    # It becomes part of an address.
    if not isinstance(found, str) or not found.replace("_", "").replace("-", "").isalnum():
        raise ValueError("expected the id of a video")
    return found


def _note(outcome: JobOutcome, made: dict[str, Any]) -> None:
    outcome.video_s = float(made["seconds"]) if "seconds" in made else None
    outcome.server_s = _number(made.get("inference_time_s"))
    outcome.peak_memory_mb = _number(made.get("peak_memory_mb"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _fault(answer: httpx.Response) -> str:
    """The status of an answer, and the code in it: words of the server's are not repeated."""
    try:
        code = answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    plain = isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum() and len(code) <= 40
    return f"{answer.status_code} {code}" if plain else str(answer.status_code)

"""Health routes say what is true of the pool that runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fastvideo.entrypoints.streaming.health import SERVICE_NAME, build_health_router, get_pool_status

KEYS = {
    "total_gpus",
    "available_gpus",
    "queue_size",
    "warmup_enabled",
    "warmup_successful_gpus",
    "warmup_failed_gpus",
    "gpu_status",
}


@dataclass
class Counts:
    total_workers: int = 2
    available_workers: int = 1
    active_sessions: int = 3
    queued_sessions: int = 4


class BarePool:
    """A third-party pool: five methods, of which health() is one."""

    def health(self) -> Counts:
        return Counts()


class OwnPool(BarePool):
    def __init__(self, **status: Any) -> None:
        self.status = status

    def get_status(self) -> dict[str, Any]:
        return self.status


class AsyncPool(BarePool):
    async def get_status(self) -> dict[str, Any]:
        return {"total_gpus": 7}


def worker(**changes: Any) -> dict[str, Any]:
    return {"ready": True, "available": True, "process_alive": True} | changes


async def fetch(path: str, *args: Any, **kwargs: Any) -> httpx.Response:
    app = FastAPI()
    app.include_router(build_health_router(*args, **kwargs))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez"])
async def test_alive_is_answered_whatever_the_pool_does(path: str) -> None:
    response = await fetch(path, None, draining=lambda: True)
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["status", "service", "ts"]
    assert (body["status"], body["service"]) == ("ok", SERVICE_NAME)
    assert datetime.fromisoformat(body["ts"]).utcoffset() is not None


async def test_an_app_with_its_own_health_leaves_ours_out() -> None:
    assert (await fetch("/health", None, with_health=False)).status_code == 404
    assert (await fetch("/healthz", None, with_health=False)).status_code == 200


@pytest.mark.parametrize(
    ("pool", "ready"),
    [
        (None, 0),
        (BarePool(), 2),
        (OwnPool(total_gpus=2, gpu_status={0: worker(), 1: worker(ready=False)}), 1),
        (OwnPool(total_gpus=2, gpu_status={0: worker(process_alive=False), 1: worker(ready=False)}), 0),
        (OwnPool(total_gpus=2, warmup_enabled=True, warmup_successful_gpus=1), 1),
        (OwnPool(total_gpus=2, warmup_enabled=True, warmup_successful_gpus=0), 0),
        (OwnPool(total_gpus=3, warmup_failed_gpus=1), 2),
    ],
)
async def test_ready_needs_a_worker_that_is_ready(pool: Any, ready: int) -> None:
    response = await fetch("/readyz", pool)
    body = response.json()
    assert body["ready_gpu_workers"] == ready
    assert (response.status_code, body["status"]) == ((200, "ready") if ready else (503, "warming"))
    assert list(body) == [
        "status",
        "service",
        "ready_gpu_workers",
        "total_gpus",
        "available_gpus",
        "warmup_successful_gpus",
        "warmup_failed_gpus",
        "queue_size",
        "ts",
    ]


async def test_a_draining_server_is_not_ready() -> None:
    draining = False
    pool = BarePool()
    assert (await fetch("/readyz", pool, draining=lambda: draining)).status_code == 200
    draining = True
    response = await fetch("/readyz", pool, draining=lambda: draining)
    assert (response.status_code, response.json()["status"]) == (503, "draining")


async def test_status_without_a_pool_is_all_zeros() -> None:
    assert await get_pool_status() == {
        "total_gpus": 0,
        "available_gpus": 0,
        "queue_size": 0,
        "warmup_enabled": False,
        "warmup_successful_gpus": 0,
        "warmup_failed_gpus": 0,
        "gpu_status": {},
    }


async def test_health_alone_gives_counts_and_invents_nothing_about_workers() -> None:
    status = await get_pool_status(BarePool())
    assert set(status) == KEYS
    assert (status["total_gpus"], status["available_gpus"], status["queue_size"]) == (2, 1, 4)
    assert status["gpu_status"] == {}
    assert status["warmup_successful_gpus"] == 0


async def test_get_status_wins_over_health_and_unknown_keys_stay_inside() -> None:
    status = await get_pool_status(OwnPool(total_gpus=5, secret="x", gpu_status={3: worker(warmup_error=None)}))
    assert set(status) == KEYS
    assert status["total_gpus"] == 5
    assert status["queue_size"] == 0
    assert status["gpu_status"] == {"3": worker(warmup_error=None)}


async def test_get_status_may_be_asynchronous() -> None:
    assert (await get_pool_status(AsyncPool()))["total_gpus"] == 7


async def test_a_callable_gives_the_pool_once_there_is_one() -> None:
    pools: list[Any] = [None]
    assert (await fetch("/readyz", lambda: pools[-1])).status_code == 503
    pools.append(BarePool())
    assert (await fetch("/readyz", lambda: pools[-1])).status_code == 200
    response = await fetch("/status", lambda: pools[-1])
    assert set(response.json()) == KEYS

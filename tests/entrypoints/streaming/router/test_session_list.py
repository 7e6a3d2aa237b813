"""The list of recordings through a router: that of all replicas, and who did not say."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest

from fastvideo.entrypoints.streaming.router.config import ReplicaEndpoint
from fastvideo.entrypoints.streaming.router.session_list import Page, merged, read_page

LIST = "/v1/sessions"


def described(number, second, **more):
    moment = f"2026-01-02T03:04:{second:06.3f}+00:00"
    return {"id": f"{number:032x}", "state": "ended", "started_at": moment, "prompt": "caf\u00e9", **more}


def listed(*sessions, more=False):
    return json.dumps({"sessions": sessions, "more": more})


async def get(router, path=LIST):
    async with httpx.AsyncClient(base_url=router.url, trust_env=False) as http:
        return await http.get(path)


async def test_recordings_of_all_replicas_are_one_list_the_newest_first(replicas, route):
    a, b = await replicas("a", "b")
    one, two, three = described(1, 10), described(2, 20), described(3, 30)
    a.pages, b.pages = {LIST: listed(three, one)}, {LIST: listed(two, more=True)}
    async with route(a, b) as router:
        answer = await get(router)
        assert (await get(router, LIST + "?limit=2")).json() == {"sessions": [three, two], "more": True}
        assert answer.json() == {"sessions": [three, two, one], "more": True}
        # Who has which is known from here on.
        b.pages[f"{LIST}/{two['id']}"] = "here"
        asked = len(a.requests)
        assert (await get(router, f"{LIST}/{two['id']}")).text == "here"
        assert len(a.requests) == asked
    assert "?limit=2" in b.requests[1].path


async def test_what_comes_after_a_recording_is_asked_of_replicas_that_do_not_have_it(replicas, route):
    a, b = await replicas("a", "b")
    one, two = described(1, 10), described(2, 20)
    a.pages = {LIST: listed(), f"{LIST}/{two['id']}": json.dumps(two)}
    b.pages = {LIST: listed(one)}
    async with route(a, b) as router:
        assert (await get(router, f"{LIST}?after={two['id']}")).json()["sessions"] == [one]
    query = httpx.URL(b.requests[-1].path).params
    assert (query["after"], query["after_started_at"]) == (two["id"], two["started_at"])


async def test_a_replica_that_does_not_answer_is_named_and_waited_for_no_longer_than_for_a_check(
    parts, replicas, route
):
    (a,) = await replicas("a")
    a.pages = {LIST: listed(described(1, 10))}
    # Connections are taken by the kernel, and nobody ever reads them.
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = ReplicaEndpoint(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        settings = {"health_check_timeout_seconds": 1.0, "health_check_interval_seconds": 1000.0}
        async with route(a, silent, wait=False, **settings) as router:
            registry = router.state.registry
            await parts.until(lambda: registry.get(a.url).is_healthy)
            # The second as one that is known to be ill, and as one of which nobody knows yet.
            for healthy in (False, True):
                if healthy:
                    await parts.until(lambda: registry.get(silent.url).health.consecutive_failures)
                    await registry.record_success(registry.get(silent.url), recovery_threshold=1, latency_ms=1.0)
                async with asyncio.timeout(20):
                    answer = (await get(router)).json()
                assert answer == {"sessions": [described(1, 10)], "more": False, "unanswered": ["replica 2"]}


@pytest.mark.parametrize("body", ["not JSON", "[]", '{"sessions": 1, "more": false}', "{}"])
async def test_an_answer_that_is_no_list_is_none(replicas, route, body):
    a, b = await replicas("a", "b")
    a.pages, b.pages = {LIST: body}, {LIST: listed(described(1, 10))}
    async with route(a, b) as router:
        assert (await get(router)).json() == {"sessions": [described(1, 10)], "more": False, "unanswered": ["a"]}


async def test_where_nobody_lists_the_refusal_is_the_clients(replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b) as router:
        answer = await get(router)
        assert (answer.status_code, answer.text) == (404, "nothing here\n")
        await a.die()
        await b.die()
        answer = await get(router)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_healthy_replica")


def test_a_session_that_went_on_elsewhere_is_there_once_with_its_newest_part():
    older, newer, other = described(1, 10), described(1, 30), described(2, 20)
    pages = [read_page(listed(*part).encode()) for part in ((older, other), (newer,))]
    assert [entry.all for entry in merged(pages, 10).entries] == [newer, other]
    assert merged(pages, 1) == Page(merged(pages, 10).entries[:1], True)


def test_entries_that_are_none_are_left_out():
    good = described(1, 10)
    odd = [{"id": "../x", "started_at": "2026"}, {"id": good["id"]}, {"started_at": good["started_at"]}, {}]
    page = read_page(listed(*odd, good).encode())
    assert [entry.all for entry in page.entries] == [good]

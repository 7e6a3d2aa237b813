"""What operators see of a server's sessions and workers, and who else does not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fastvideo.api.access_config import ApiKeyConfig, AuthConfig
from fastvideo.api.schema import ServerConfig
from fastvideo.entrypoints.access.api_keys import key_digest, new_key
from fastvideo.entrypoints.streaming.server import build_app
from fastvideo.entrypoints.streaming.session_standing import coarse_address

ROUTE = "/v1/admin/overview"


def client_of(app: Any, host: str = "127.0.0.1", name: str = "localhost") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url=f"http://{name}")


async def test_sessions_and_workers_are_told_as_they_stand(stage) -> None:
    one = stage(generation_segment_cap=1)
    now = [1000.0]
    one.server.clock = lambda: now[0]
    client = await one.held()
    now[0] += 12.5
    async with client_of(one.app) as operator:
        answer = await operator.get(ROUTE)
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        (session,) = body["sessions"]
        assert session == {
            "id": one.only_session.id,
            "state": "active",
            "connected": True,
            "generating": True,
            "segment_idx": 0,
            "lead_ms": 0.0,
            "age_s": 12.5,
            "queue_position": None,
            "address": "unknown",
            "owner": None,
        }
        (worker,) = body["workers"]
        assert (worker["state"], worker["restarts"]) == ("busy", 0)
        assert (body["status"], body["queued_sessions"], body["model_id"]) == ("ready", 0, "steps")
        client.say("session_stop")
        one.generator.free()
        await one.over()
        body = (await operator.get(ROUTE)).json()
        assert body["sessions"] == []
        one.server.draining = True
        assert (await operator.get(ROUTE)).json()["status"] == "draining"


async def test_a_session_that_waits_tells_its_place_and_one_without_its_client_says_so(stage, fakes) -> None:
    one = stage(max_sessions=4)
    one.server.pool._admission.set_slots(1, 0.0)
    first = await one.held()
    second = one.open()
    await second.hears("queue_status")
    async with client_of(one.app) as operator:
        body = (await operator.get(ROUTE)).json()
        assert body["queued_sessions"] == 1
        assert sorted(str(session["queue_position"]) for session in body["sessions"]) == ["0", "None"]
        second.lose()
        await fakes.until(lambda: not second.runner.standing.connected)
        body = (await operator.get(ROUTE)).json()
        assert sorted(session["connected"] for session in body["sessions"]) == [False, True]
    second.runner.forget_client()
    await one.over()
    first.say("session_stop")
    one.generator.free()
    await one.over(0)


@pytest.mark.parametrize(("host", "name"), [("10.0.0.7", "localhost"), ("127.0.0.1", "server.example")])
async def test_strangers_are_shown_nothing(fakes, host: str, name: str) -> None:
    app = build_app(fakes.config(), fakes.StepGenerator())
    async with client_of(app, host, name) as stranger:
        answer = await stranger.get(ROUTE)
        assert answer.status_code == 403
        assert answer.json().keys() == {"error"}
        page = await stranger.get("/admin")
        assert page.status_code == 200, "it holds nothing, and asks for a key"
    await app.state.server_state.pool.shutdown()


async def test_from_elsewhere_an_admin_key_opens_it_and_no_other_one_does(fakes) -> None:
    viewer, operator = new_key(), new_key()
    config = fakes.config()
    config.server = ServerConfig(
        auth=AuthConfig(
            keys=[ApiKeyConfig("viewer", key_digest(viewer))],
            admin_keys=[ApiKeyConfig("operator", key_digest(operator))],
        )
    )
    app = build_app(config, fakes.StepGenerator())
    async with client_of(app, "10.0.0.7", "server.example") as client:
        answers = {}
        for name, key in (("nobody", None), ("wrong", "fv_wrong"), ("viewer", viewer), ("operator", operator)):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            answers[name] = (await client.get(ROUTE, headers=headers)).status_code
        foreign = {"Authorization": f"Bearer {operator}", "Origin": "https://elsewhere.example"}
        answers["foreign page"] = (await client.get(ROUTE, headers=foreign)).status_code
    assert answers == {"nobody": 401, "wrong": 401, "viewer": 403, "operator": 200, "foreign page": 403}
    await app.state.server_state.pool.shutdown()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_is_shown_without_what_tells_one_household_from_the_next(address: str, shown: str) -> None:
    assert coarse_address(address) == shown

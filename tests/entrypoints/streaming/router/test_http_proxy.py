"""The page through a router, and the router's own routes."""

import httpx
import pytest


async def get(router, path, method="GET", **options):
    async with httpx.AsyncClient(base_url=router.url, trust_env=False, verify=False) as http:
        return await http.request(method, path, **options)


async def test_the_page_comes_from_a_replica(replicas, route):
    (a,) = await replicas("a")
    a.pages = {"/": "<html>", "/js/app.js": "import 1", "/v1/info": "{}"}
    async with route(a) as router:
        for path, text in a.pages.items():
            answer = await get(router, path, headers={"Range": "bytes=0-", "X-Forwarded-For": "6.6.6.6"})
            assert (answer.status_code, answer.text) == (200, text)
        assert (await get(router, "/v1/unknown?x=1")).status_code == 404
        assert router.metric("fastvideo_router_http_requests_total", status="200") == 3
    told = a.requests[0].headers
    assert told["Host"] == router.url.removeprefix("http://")
    assert told["X-Forwarded-For"] == "127.0.0.1"
    assert told["Range"] == "bytes=0-"
    assert a.requests[-1].path == "/v1/unknown?x=1"


async def test_a_sessions_own_paths_lead_to_its_replica(parts, replicas, route):
    a, b = await replicas("a", "b")
    b.pages = {"/v1/sessions/session-b-1": "here", "/v1/sessions/session-b-1/recording.mp4": "moov"}
    async with route(a, b) as router, router.client() as one, router.client() as two:
        await parts.started(one)
        await parts.started(two)
        assert (await get(router, "/v1/sessions/session-b-1")).text == "here"
        assert (await get(router, "/v1/sessions/session-b-1/recording.mp4")).text == "moov"
    assert a.requests == []


async def test_a_session_that_this_router_has_not_seen_is_looked_for_everywhere(replicas, route):
    a, b = await replicas("a", "b")
    b.pages = {"/v1/sessions/older": "there"}
    async with route(a, b) as router:
        assert (await get(router, "/v1/sessions/older")).text == "there"
        answer = await get(router, "/v1/sessions/nowhere")
    assert (answer.status_code, answer.text) == (404, "nothing here\n")
    assert [request.path for request in a.requests] == ["/v1/sessions/older", "/v1/sessions/nowhere"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin", 404),
        ("GET", "/v1/%2e%2e/metrics", 404),
        ("GET", "/js/..%5c..%5cmetrics", 404),
        ("DELETE", "/v1/info", 405),
        ("POST", "/v1/info", 405),
    ],
)
async def test_what_viewers_have_no_business_with_is_not_passed_on(replicas, route, method, path, status):
    (a,) = await replicas("a")
    async with route(a) as router:
        assert (await get(router, path, method)).status_code == status
    assert a.requests == []


async def test_a_replica_that_is_gone_is_passed_over(replicas, route):
    a, b = await replicas("a", "b")
    b.pages = {"/": "from b"}
    async with route(a, b, health_check_interval_seconds=1000.0) as router:
        await a.die()
        assert (await get(router, "/")).text == "from b"
        await b.die()
        answer = await get(router, "/")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_healthy_replica"


async def test_the_status_has_the_documented_keys_and_says_who_has_what(parts, replicas, route):
    a, b = await replicas("a", "b")
    async with route(a, b, primary=b) as router, router.client() as client:
        await parts.started(client)
        rows = (await get(router, "/status")).json()["replicas"]
    documented = {"url", "primary", "status", "last_ok_at", "last_latency_ms", "consecutive_failures"}
    assert all(documented <= set(row) for row in rows)
    assert [(row["url"], row["primary"], row["status"], row["sessions"]) for row in rows] == [
        (a.url, False, "healthy", 0),
        (b.url, True, "healthy", 1),
    ]


async def test_it_is_ready_while_a_replica_takes_sessions_and_alive_in_any_case(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a, failure_threshold=1, recovery_threshold=1) as router:
        assert (await get(router, "/readyz")).status_code == 200
        a.alive = False
        await parts.until(lambda: not router.state.registry.all()[0].is_healthy)
        answer = await get(router, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "no_healthy_replica")
        a.alive = True
        await parts.until(lambda: router.state.registry.all()[0].is_healthy)
        router.state.draining = True
        answer = await get(router, "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "draining")
        for path in ("/health", "/healthz", "/livez"):
            assert (await get(router, path)).json()["status"] == "ok"


async def test_metrics_are_for_this_machine_and_not_for_what_a_proxy_on_it_passes_on(parts, replicas, route):
    (a,) = await replicas("a")
    async with route(a) as router, router.client() as client:
        await parts.started(client)
        text = (await get(router, "/metrics")).text
        assert (await get(router, "/metrics", headers={"X-Forwarded-For": "203.0.113.9"})).status_code == 403
    assert 'fastvideo_router_sessions{replica="a"} 1.0' in text
    assert 'fastvideo_router_replica_takes_sessions{replica="a"} 1.0' in text
    assert 'fastvideo_router_sessions_opened_total{replica="a"} 1.0' in text

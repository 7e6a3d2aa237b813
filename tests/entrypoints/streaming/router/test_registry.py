"""Who is healthy, and who gets the next session."""

import pytest

from fastvideo.entrypoints.streaming.router import ReplicaEndpoint, ReplicaRegistry, ReplicaStatus


def registry(*endpoints, healthy=True):
    made = ReplicaRegistry([item if isinstance(item, ReplicaEndpoint) else ReplicaEndpoint(item) for item in endpoints])
    if healthy:
        for replica in made.all():
            replica.health.status = ReplicaStatus.HEALTHY
    return made


async def passes(made, replica, times=1, threshold=2):
    for _ in range(times):
        await made.record_success(replica, recovery_threshold=threshold, latency_ms=1.5)


async def fails(made, replica, times=1, threshold=3):
    for _ in range(times):
        await made.record_failure(replica, failure_threshold=threshold, reason="HTTP 500")


def test_a_registry_without_replicas_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        ReplicaRegistry([])


async def test_the_first_success_makes_an_unknown_replica_healthy():
    made = registry("http://a", healthy=False)
    replica = made.all()[0]
    assert replica.health.status is ReplicaStatus.UNKNOWN
    assert made.select() is None
    await passes(made, replica)
    assert replica.is_healthy
    assert replica.health.last_latency_ms == 1.5
    assert replica.health.last_ok_at is not None


async def test_single_failures_do_not_make_a_replica_unhealthy_and_single_successes_do_not_heal_it():
    made = registry("http://a")
    replica = made.all()[0]
    await fails(made, replica, 2)
    await passes(made, replica)
    await fails(made, replica, 2)
    assert replica.is_healthy
    await fails(made, replica)
    assert replica.health.status is ReplicaStatus.UNHEALTHY
    assert replica.health.consecutive_failures == 3
    await passes(made, replica)
    await fails(made, replica)
    await passes(made, replica)
    assert not replica.is_healthy
    await passes(made, replica)
    assert replica.is_healthy


def test_a_healthy_primary_comes_before_everybody_however_loaded_it_is():
    made = registry("http://a", ReplicaEndpoint("http://p", primary=True), "http://b")
    made.get("http://p").sessions = 50
    assert made.select().url == "http://p"
    assert made.primaries() == [made.get("http://p/")]
    made.get("http://p").health.status = ReplicaStatus.UNHEALTHY
    assert made.select().url == "http://a"


def test_among_equals_the_least_loaded_for_its_weight_gets_the_next_session():
    made = registry("http://a", ReplicaEndpoint("http://b", weight=3.0))
    counts = {"http://a": 0, "http://b": 0}
    for _ in range(40):
        replica = made.select()
        replica.sessions += 1
        counts[replica.url] += 1
    assert counts == {"http://a": 10, "http://b": 30}


def test_with_nothing_to_choose_by_the_first_in_order_is_taken():
    assert registry("http://a", "http://b").select().url == "http://a"


@pytest.mark.parametrize("change", ["ready", "drain", "excluded"])
def test_replicas_that_take_no_sessions_are_passed_over(change):
    made = registry("http://a", "http://b")
    first = made.get("http://a")
    if change == "ready":
        first.ready = False
    elif change == "drain":
        first.endpoint.drain = True
    assert made.select({first} if change == "excluded" else ()).url == "http://b"


def test_a_changed_list_keeps_what_is_known_of_those_that_stay():
    made = registry("http://a", "http://b")
    stays, goes = made.all()
    stays.sessions = goes.sessions = 2
    made.replace([ReplicaEndpoint("http://c"), ReplicaEndpoint("http://a/", drain=True)])
    assert [replica.url for replica in made.all()] == ["http://c", "http://a"]
    assert made.get("http://a") is stays
    assert stays.is_healthy
    assert stays.sessions == 2
    assert not stays.takes_sessions
    assert made.get("http://b") is None

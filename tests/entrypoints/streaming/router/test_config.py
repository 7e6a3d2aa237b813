"""A router's settings: the documented defaults, and one sentence for what cannot work."""

import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.streaming.router import ReplicaEndpoint, RouterConfig, parse_router_config

ONE = [{"url": "http://10.0.0.2:8000"}]


def test_the_defaults_are_the_documented_ones():
    config = RouterConfig(replicas=[ReplicaEndpoint("http://a:1")])
    assert (config.host, config.port, config.health_check_path) == ("0.0.0.0", 9000, "/health")
    assert (config.health_check_interval_seconds, config.health_check_timeout_seconds) == (5.0, 2.0)
    assert (config.failure_threshold, config.recovery_threshold) == (3, 2)
    endpoint = config.replicas[0]
    assert (endpoint.name, endpoint.primary, endpoint.weight) == (None, False, 1.0)


def test_a_file_says_the_same_as_the_constructor():
    raw = {
        "host": "127.0.0.1",
        "port": 9100,
        "replicas": [{"url": "http://a:1/", "name": "first", "primary": True}, {"url": "https://b", "weight": 2}],
        "health_check": {
            "path": "/livez",
            "interval_seconds": 1,
            "timeout_seconds": 0.5,
            "failure_threshold": 4,
            "recovery_threshold": 1,
            "readiness_path": None,
        },
        "trusted_proxies": ["10.0.0.0/8"],
    }
    assert parse_router_config({"router": raw}) == RouterConfig(
        host="127.0.0.1",
        port=9100,
        replicas=[ReplicaEndpoint("http://a:1/", name="first", primary=True), ReplicaEndpoint("https://b", weight=2.0)],
        health_check_path="/livez",
        health_check_interval_seconds=1.0,
        health_check_timeout_seconds=0.5,
        failure_threshold=4,
        recovery_threshold=1,
        readiness_path=None,
        trusted_proxies=["10.0.0.0/8"],
    )


def test_a_slash_at_the_end_of_a_url_is_the_same_address():
    assert ReplicaEndpoint("http://a:1/").address == ReplicaEndpoint("http://a:1").address == "http://a:1"


@pytest.mark.parametrize(
    ("router", "path", "said"),
    [
        ({}, "router.replicas", "is required"),
        ({"replicas": []}, "router.replicas", "at least one replica"),
        ({"replicas": ONE, "prot": 1}, "router.prot", "did you mean 'port'?"),
        ({"replicas": [{"url": "http://a", "wieght": 2}]}, "router.replicas[0].wieght", "did you mean 'weight'?"),
        ({"replicas": [{"name": "x"}]}, "router.replicas[0].url", "is required"),
        ({"replicas": ONE, "health_check": {"interval": 3}}, "router.health_check.interval", "interval_seconds"),
        ({"replicas": ONE, "health_check": {"interval_seconds": 0}}, "router.health_check.interval_seconds", "greater"),
        ({"replicas": ONE, "health_check": {"timeout_seconds": -1}}, "router.health_check.timeout_seconds", "greater"),
        ({"replicas": ONE, "health_check": {"failure_threshold": 0}}, "router.health_check.failure_threshold", "1 or"),
        (
            {"replicas": ONE, "health_check": {"recovery_threshold": 0}},
            "router.health_check.recovery_threshold",
            "1 or",
        ),
        ({"replicas": ONE, "health_check": {"path": "health"}}, "router.health_check.path", "starts with '/'"),
        ({"replicas": [{"url": "ftp://a"}]}, "router.replicas[0].url", "expected http://host:port"),
        ({"replicas": [{"url": "http://a:99999"}]}, "router.replicas[0].url", "expected a URL"),
        ({"replicas": [{"url": "http://a:"}]}, "router.replicas[0].url", "expected http://host:port"),
        ({"replicas": [{"url": "http://u:p@a"}]}, "router.replicas[0].url", "without a user"),
        ({"replicas": [{"url": "http://a/x"}]}, "router.replicas[0].url", "without a path"),
        ({"replicas": [{"url": "http://a?x=1"}]}, "router.replicas[0].url", "query/fragment"),
        ({"replicas": [{"url": "http://a/#x"}]}, "router.replicas[0].url", "query/fragment"),
        ({"replicas": [{"url": "http://a/"}, {"url": "http://A"}]}, "router.replicas[1].url", "Duplicate"),
        ({"replicas": [{"url": "http://a", "weight": 0}]}, "router.replicas[0].weight", "greater than 0"),
        (
            {"replicas": [{"url": "http://a", "primary": True}, {"url": "http://b", "primary": True}]},
            "router.replicas[1].primary",
            "at most one primary",
        ),
        ({"replicas": ONE, "port": 70000}, "router.port", "0 to 65535"),
        ({"replicas": ONE, "port": "9000"}, "router.port", "expected a valid integer"),
        ({"replicas": ONE, "trusted_proxies": ["proxy"]}, "router.trusted_proxies[0]", "10.0.0.0/8"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(router, path, said):
    with pytest.raises(ConfigValidationError) as caught:
        parse_router_config({"router": router})
    assert caught.value.path == path
    assert said in caught.value.message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("raw", [{}, {"replicas": ONE}, {"router": None}, {"rooter": {"replicas": ONE}}, []])
def test_a_file_without_a_router_is_refused(raw):
    with pytest.raises(ConfigValidationError):
        parse_router_config(raw)

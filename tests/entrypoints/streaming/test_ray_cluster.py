"""How a cluster is joined, started and left, with a Ray that only takes notes; the real one is in test_ray_pool.py."""

import os
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.streaming.ray_cluster import RayCluster, RayUnavailable


class NotingRay:
    """What is called of Ray. ``where``: the interface it would listen on; ``failure``: what joining raises."""

    def __init__(self) -> None:
        self.where = "127.0.0.1"
        self.failure: Exception | None = None
        self.initialised = False
        self.resources: dict[str, float] = {"CPU": 4.0}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[str] = set()
        self.folder_at_shutdown = False
        self.util = SimpleNamespace(get_node_ip_address=lambda: self.where)

    def is_initialized(self) -> bool:
        return self.initialised

    def init(self, **options: Any) -> None:
        self._note("init", options)
        if self.failure is not None:
            raise self.failure
        self.initialised = True

    def shutdown(self, **options: Any) -> None:
        self._note("shutdown", options)
        self.folder_at_shutdown = os.path.isdir(self.calls[0][1].get("_temp_dir", ""))
        self.initialised = False

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="127.0.0.1:6379")

    def _note(self, name: str, options: dict[str, Any]) -> None:
        self.calls.append((name, options))
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def noting_ray(monkeypatch) -> NotingRay:
    noting = NotingRay()
    monkeypatch.setitem(sys.modules, "ray", noting)
    # Set, so that they are taken back afterwards whatever the cluster makes of them.
    for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return noting


def test_a_cluster_of_its_own_is_on_the_loopback_interface_asks_for_a_token_and_leaves_no_folder(noting_ray) -> None:
    cluster = RayCluster(None, workers=3)
    cluster.join()
    cluster.join()
    (name, options), *others = noting_ray.calls
    assert (name, others) == ("init", [])
    assert options["address"] == "local"
    assert options["num_cpus"] == 3 * cluster.cpus_per_worker
    assert not options["include_dashboard"]
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    # Others on this machine read none of what workers print.
    assert os.stat(options["_temp_dir"]).st_mode & 0o077 == 0
    cluster.leave()
    cluster.leave()
    assert [name for name, _ in noting_ray.calls] == ["init", "shutdown"]
    assert noting_ray.folder_at_shutdown
    assert not os.path.exists(options["_temp_dir"])


def test_ray_is_started_and_ended_by_one_thread_that_lives_as_long_and_is_not_the_main_one(noting_ray) -> None:
    cluster = RayCluster(None, workers=1)
    cluster.join()
    (name,) = noting_ray.threads
    assert name in [thread.name for thread in threading.enumerate()]
    assert name != threading.main_thread().name
    cluster.leave()
    assert noting_ray.threads == {name}


def test_the_tokens_and_addresses_of_the_operator_are_kept(noting_ray, monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    named = RayCluster("10.0.0.2:6379", workers=1)
    assert named.address == "10.0.0.2:6379"
    cluster = RayCluster(None, workers=1)
    cluster.join()
    assert noting_ray.calls == [("init", {"address": "10.0.0.1:6379", "configure_logging": False})]
    assert not cluster.own
    assert cluster.cpus_per_worker == 1
    assert os.environ["RAY_AUTH_TOKEN"] == "theirs"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    cluster.leave()


def test_a_cluster_that_the_process_is_in_already_is_used_and_not_left(noting_ray) -> None:
    noting_ray.initialised = True
    noting_ray.resources = {"GPU": 2.0}
    cluster = RayCluster(None, workers=1)
    cluster.join()
    assert cluster.has_gpus
    assert not cluster.own
    cluster.leave()
    assert noting_ray.calls == []


def test_a_cluster_that_is_not_there_is_told_in_one_sentence(noting_ray) -> None:
    noting_ray.failure = ConnectionError("many\nlines")
    cluster = RayCluster("10.0.0.1:6379", workers=1)
    with pytest.raises(RayUnavailable, match=r"10\.0\.0\.1:6379 could not be joined .* streaming\.pool\.ray_address"):
        cluster.join()
    with pytest.raises(RayUnavailable):
        cluster.join()
    cluster.leave()
    own = RayCluster(None, workers=1)
    with pytest.raises(RayUnavailable, match="could not be started on this machine"):
        own.join()
    assert not os.path.exists(noting_ray.calls[-2][1]["_temp_dir"])


def test_nothing_is_started_that_would_listen_on_other_interfaces(noting_ray) -> None:
    noting_ray.where = "192.0.2.7"
    with pytest.raises(RayUnavailable, match=r"127\.0\.0\.1 alone, got 192\.0\.2\.7"):
        RayCluster(None, workers=1).join()
    assert noting_ray.calls == []


def test_rays_client_protocol_is_refused(noting_ray, monkeypatch) -> None:
    with pytest.raises(ConfigValidationError, match="host:port") as caught:
        RayCluster("ray://10.0.0.1:10001", workers=1)
    assert caught.value.path == "streaming.pool.ray_address"
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert RayCluster(None, workers=1).own

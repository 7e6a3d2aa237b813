"""What only stores in Redis promise: they bear with a Redis that goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from benchmarks.redis_server import RedisServer
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming import redis_blobs
from fastvideo.entrypoints.streaming.blob_cache import CachedBlobStore
from fastvideo.entrypoints.streaming.redis_blobs import RedisBlobStore
from fastvideo.entrypoints.streaming.redis_sessions import RedisSessionStore
from fastvideo.entrypoints.streaming.session import Session
from fastvideo.entrypoints.streaming.session_lease import LeaseLost
from fastvideo.entrypoints.streaming.state_keeper import StateKeeper
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.pipelines.basic.ltx2.continuation_blobs import to_base64


def state(text: str = "") -> ContinuationState:
    return ContinuationState(kind="ltx2.v1", payload={"metadata": {"text": text}})


class Stage:
    """Redis, stores in it that are closed in the end, and its own view of what lies in it."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self._made: list[Any] = []

    def sessions(self, **settings: Any) -> RedisSessionStore:
        self._made.append(RedisSessionStore(self.server.url, **settings))
        return self._made[-1]

    def blobs(self, **settings: Any) -> RedisBlobStore:
        self._made.append(RedisBlobStore(self.server.url, **settings))
        return self._made[-1]

    def client(self) -> redis.Redis:
        self._made.append(redis.Redis.from_url(self.server.url))
        return self._made[-1]

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture
def own_redis() -> Iterator[Stage]:
    """A Redis that a test may stop."""
    with RedisServer() as server:
        stage = Stage(server)
        yield stage
        stage.close()


@pytest.fixture
def shared_redis(redis_server: RedisServer) -> Iterator[Stage]:
    stage = Stage(redis_server)
    yield stage
    stage.close()


def later(action: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Begin something that may wait; gives the thread, and where its result or error will be."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(action())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def test_what_is_under_way_while_redis_restarts_is_done_when_it_is_back(own_redis: Stage) -> None:
    sessions, blobs = own_redis.sessions(patience_s=30.0), own_redis.blobs(patience_s=30.0)
    lease = sessions.acquire("a", "this server")
    sessions.store("a", state("before"), lease=lease)
    own_redis.server.stop()
    calls = [
        later(lambda: sessions.store("a", state("after"), lease=lease)),
        later(lambda: blobs.put(b"frames", owner="a")),
        later(lambda: sessions.renew(lease)),
    ]
    own_redis.server.start()
    for thread, _ in calls:
        thread.join(40)
    (_, stored), (_, put), (_, renewed) = calls
    assert (stored, renewed) == ([None], [None])
    assert sessions.snapshot("a") == state("after")
    assert blobs.get(put[0], owner="a") == b"frames"


def test_a_redis_that_comes_back_empty_still_knows_old_leases_from_new_ones(own_redis: Stage) -> None:
    first, second = own_redis.sessions(), own_redis.sessions()
    old = first.acquire("a", "first server")
    own_redis.server.stop()
    own_redis.server.start()
    new = second.acquire("a", "second server")
    assert new.token > old.token
    with pytest.raises(LeaseLost):
        first.store("a", state(), lease=old)


def test_a_blob_that_redis_lost_is_still_at_hand_where_it_was_put(own_redis: Stage) -> None:
    here, elsewhere = CachedBlobStore(own_redis.blobs()), own_redis.blobs()
    blob_id = here.put(b"frames", owner="a")
    own_redis.server.stop()
    own_redis.server.start()
    assert here.get(blob_id, owner="a") == b"frames"
    with pytest.raises(KeyError):
        here.get(blob_id, owner="b")
    with pytest.raises(KeyError):
        elsewhere.get(blob_id, owner="a")


async def test_a_session_under_way_goes_on_when_redis_comes_back_empty_and_can_move_afterwards(
    own_redis: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastvideo.entrypoints.streaming.state_blobs.to_blobs.__kwdefaults__", {"threshold_bytes": 10})
    states = [
        ContinuationState("ltx2.v1", {"audio": {"safetensors_b64": to_base64(bytes([n]) * 99)}}) for n in range(2)
    ]
    sessions, session = own_redis.sessions(), Session()
    lease = sessions.acquire(session.id, "here")
    keeper = StateKeeper(session, sessions.held(lease), CachedBlobStore(own_redis.blobs()))
    await keeper.replace(states[0])
    own_redis.server.stop()
    own_redis.server.start()
    assert await keeper.whole() == states[0]
    await keeper.replace(states[1])
    elsewhere, moved = own_redis.sessions(), Session(id=session.id)
    lease = elsewhere.acquire(session.id, "there", take_over=True)
    moved.continuation_state = elsewhere.snapshot(session.id)
    there = StateKeeper(moved, elsewhere.held(lease), own_redis.blobs())
    assert await there.whole() == states[1]
    await keeper.close()
    await there.close()
    elsewhere.release(lease)
    left = own_redis.client().keys()
    assert [key for key in left if b":lease:" not in key] == []


def test_without_redis_a_call_ends_with_a_sentence_that_gives_no_password_away(own_redis: Stage) -> None:
    address = own_redis.server.url.replace("redis://", "redis://somebody:secret@")
    own_redis.server.stop()
    store = RedisSessionStore(address, patience_s=0.2)
    with pytest.raises(StoreUnavailable, match=rf"127.0.0.1:{own_redis.server.port} within 0.2 s") as caught:
        store.check()
    assert "secret" not in str(caught.value)
    store.close()


def test_a_wrong_password_is_not_tried_again(shared_redis: Stage) -> None:
    address = shared_redis.server.url.replace("redis://", "redis://somebody:secret@")
    store = RedisSessionStore(address, patience_s=60.0)
    thread, found = later(store.check)
    thread.join(20)
    assert not thread.is_alive()
    assert "check the name and password" in str(found[0])
    store.close()


def test_a_redis_without_memory_is_a_full_store(own_redis: Stage) -> None:
    client, store = own_redis.client(), own_redis.blobs()
    client.config_set("maxmemory", 1)
    with pytest.raises(StoreFull, match="memory left"):
        store.put(b"x")


def test_a_closed_store_says_so_and_leaves_no_thread(shared_redis: Stage) -> None:
    before = threading.active_count()
    store = shared_redis.sessions()
    store.check()
    assert threading.active_count() == before + 1
    store.close()
    store.close()
    assert threading.active_count() == before
    with pytest.raises(StoreUnavailable, match="closed"):
        store.check()


def test_a_call_that_waits_for_redis_is_given_up_when_its_store_closes(
    own_redis: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    store = own_redis.sessions(patience_s=60.0)
    store.check()
    own_redis.server.stop()
    thread, found = later(store.check)
    deadline_s = time.monotonic() + 20
    while "trying again" not in caplog.text:
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    store.close()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(found[0], StoreUnavailable)


def test_everything_lies_under_the_prefix_with_a_time_to_live(own_redis: Stage) -> None:
    sessions, blobs = own_redis.sessions(prefix="mine", ttl_s=50.0), own_redis.blobs(prefix="mine", ttl_s=50.0)
    sessions.store("a", state(), lease=sessions.acquire("a", "this server"))
    blobs.put(b"x", owner="a")
    client = own_redis.client()
    keys = client.keys()
    assert len(keys) == 10
    for key in keys:
        assert key.startswith(b"mine:")
        assert 0 < client.pttl(key) <= 100_000


def test_a_session_that_ended_leaves_no_key(own_redis: Stage) -> None:
    sessions, blobs, client = own_redis.sessions(), own_redis.blobs(), own_redis.client()
    sessions.store("a", state())
    blobs.put(b"x", owner="a")
    sessions.drop("a")
    blobs.drop_owner("a")
    assert client.keys() == []
    assert len(sessions) == len(blobs) == blobs.total_bytes == 0


def test_a_blob_whose_owner_goes_while_it_is_put_does_not_stay(own_redis: Stage) -> None:
    blobs, client = own_redis.blobs(), own_redis.client()
    write = blobs._write

    async def dropped_first(*arguments: Any) -> None:
        client.flushdb()
        await write(*arguments)

    blobs._write = dropped_first  # type: ignore[method-assign]
    blobs.put(b"x", owner="a")
    assert client.keys() == []


def test_what_somebody_else_wrote_there_is_no_state_and_no_blob(
    shared_redis: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_blobs, "MAX_BLOB_BYTES", 10)
    sessions, blobs = shared_redis.sessions(prefix="odd"), shared_redis.blobs(prefix="odd")
    client = shared_redis.client()
    for junk in (b"", b"{}", b"[" * 100_000, b'{"kind":"x"}', b"\xff", b'{"kind":"x","payload":{},"more":1}'):
        client.set("odd:sessions:data:a", junk, px=60_000)
        assert sessions.snapshot("a") is None
    blob_id = "0" * 32 + "-" + "x" * 32
    client.set(f"odd:blobs:data:{blob_id}", b"x" * 10, px=60_000)
    assert blobs.get(blob_id) == b"x" * 10
    client.set(f"odd:blobs:data:{blob_id}", b"x" * 11, px=60_000)
    with pytest.raises(KeyError):
        blobs.get(blob_id)

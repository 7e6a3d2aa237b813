"""What every store promises, whatever it keeps its entries in."""

from __future__ import annotations

import importlib.util
import itertools
import string
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore.store
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.redis_server import RedisServer
from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.blob_cache import CachedBlobStore
from fastvideo.entrypoints.streaming.blob_store import BlobStore, InMemoryBlobStore
from fastvideo.entrypoints.streaming.file_blobs import FileBlobStore
from fastvideo.entrypoints.streaming.file_sessions import FileSessionStore
from fastvideo.entrypoints.streaming.redis_blobs import RedisBlobStore
from fastvideo.entrypoints.streaming.redis_sessions import RedisSessionStore
from fastvideo.entrypoints.streaming.s3_blobs import S3BlobStore
from fastvideo.entrypoints.streaming.session_lease import Lease, LeaseHeld, LeaseLost
from fastvideo.entrypoints.streaming.session_store import InMemorySessionStore, LeasingSessionStore
from fastvideo.entrypoints.streaming.store_errors import StoreFull

_NUMBERS = itertools.count()
_TTL_S = 100.0


class Clock:
    """Starts now, as S3 gives whole seconds since the epoch."""

    def __init__(self) -> None:
        self.now_s = float(int(time.time()))

    def __call__(self) -> float:
        return self.now_s


class Kind:
    """Makes stores of one kind that share what they keep, as several servers do."""

    def __init__(self, make: Callable[..., Any], passes: Callable[[float], None]) -> None:
        self._make = make
        self._passes = passes
        self._made: list[Any] = []

    def open(self, **bounds: Any) -> Any:
        self._made.append(self._make(**bounds))
        return self._made[-1]

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self._passes(seconds)

    def close(self) -> None:
        for store in self._made:
            store.close()


def with_clock(make: Callable[..., Any], clock: Clock) -> Kind:
    def passes(seconds: float) -> None:
        clock.now_s += seconds

    return Kind(lambda **bounds: make(clock=clock, **bounds), passes)


def in_redis(make: Callable[..., Any], server: RedisServer) -> Kind:
    """Redis has a clock that nobody can set; so all that it knows is made older."""
    prefix = f"test{next(_NUMBERS)}"

    def passes(seconds: float) -> None:
        by_ms = int(seconds * 1000)
        with redis.Redis.from_url(server.url) as client:
            for key in list(client.scan_iter(f"{prefix}:*")):
                left_ms = client.pttl(key)
                assert left_ms > 0, f"{key!r} has no time to live"
                if left_ms <= by_ms:
                    client.delete(key)
                    continue
                client.pexpire(key, left_ms - by_ms)
                if key.endswith(b":expiry"):
                    for member in client.zrange(key, 0, -1):
                        client.zincrby(key, -by_ms, member)
                elif b":lease:" in key:
                    client.hincrby(key, "until", -by_ms)

    return Kind(lambda **bounds: make(server.url, prefix=prefix, **bounds), passes)


def fake_s3(clock: Clock) -> Any:
    path = Path(__file__).with_name("fake_s3.py")
    spec = importlib.util.spec_from_file_location("fake_s3", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FakeS3(clock)


def s3_bucket(s3: Any) -> obstore.store.S3Store:
    return obstore.store.S3Store(
        s3.bucket,
        prefix="some/where",
        endpoint=s3.endpoint,
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": "10s"},
        retry_config={"max_retries": 0},
    )


@pytest.fixture(params=["memory", "file", "redis", "s3", "cached"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    clock, s3 = Clock(), None
    match request.param:
        case "memory":
            one: dict[str, InMemoryBlobStore] = {}
            made = with_clock(lambda **bounds: one.setdefault("it", InMemoryBlobStore(**bounds)), clock)
        case "file":
            made = with_clock(lambda **bounds: FileBlobStore(tmp_path, **bounds), clock)
        case "redis":
            made = in_redis(RedisBlobStore, request.getfixturevalue("redis_server"))
        case "s3":
            s3 = fake_s3(clock)
            made = with_clock(lambda **bounds: S3BlobStore(s3_bucket(s3), **bounds), clock)
        case _:
            s3 = fake_s3(clock)

            def cached(ttl_s: float = _TTL_S, **bounds: Any) -> CachedBlobStore:
                store = S3BlobStore(s3_bucket(s3), ttl_s=ttl_s, **bounds)
                return CachedBlobStore(store, ttl_s=ttl_s, max_bytes=30, clock=clock)

            made = with_clock(cached, clock)
    yield made
    made.close()
    if s3 is not None:
        s3.close()


@pytest.fixture(params=["memory", "file", "redis"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    match request.param:
        case "memory":
            one: dict[str, InMemorySessionStore] = {}
            made = with_clock(lambda **bounds: one.setdefault("it", InMemorySessionStore(**bounds)), Clock())
        case "file":
            made = with_clock(lambda **bounds: FileSessionStore(tmp_path, **bounds), Clock())
        case _:
            made = in_redis(RedisSessionStore, request.getfixturevalue("redis_server"))
    yield made
    made.close()


def state(text: str = "") -> ContinuationState:
    return ContinuationState(kind="ltx2.v1", payload={"metadata": {"text": text}})


def full(action: Callable[[], object]) -> bool:
    try:
        action()
    except StoreFull:
        return True
    return False


def in_threads(work: Callable[[int], None], count: int = 4) -> None:
    faults: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert faults == []


class TestBlobs:
    @pytest.mark.parametrize("data", [b"", b"frames", bytes(range(256)) * 4096])
    def test_come_back_byte_for_byte_through_any_store_until_they_are_dropped(self, blobs: Kind, data: bytes) -> None:
        one, other = blobs.open(), blobs.open()
        one.check()
        blob_id = one.put(data, mime="application/x-test", owner="a")
        assert other.get(blob_id, owner="a") == one.get(blob_id, owner="a") == data
        assert blob_id in other
        one.drop(blob_id)
        one.drop(blob_id)
        for store in (one, other):
            assert blob_id not in store
            with pytest.raises(KeyError):
                store.get(blob_id, owner="a")

    def test_are_copies_that_later_writes_do_not_change(self, blobs: Kind) -> None:
        store, data = blobs.open(), bytearray(b"one")
        blob_id = store.put(data)
        data[:] = b"two"
        assert store.get(blob_id) == b"one"

    def test_have_ids_that_never_repeat_and_fit_into_a_path(self, blobs: Kind) -> None:
        store = blobs.open()
        ids = {store.put(b"same", owner="a") for _ in range(20)}
        assert len(ids) == 20
        assert set("".join(ids)) <= set(string.ascii_letters + string.digits + "-_")
        assert min(len(blob_id.partition("-")[2]) for blob_id in ids) * 6 >= 128

    def test_are_only_for_the_session_that_put_them(self, blobs: Kind) -> None:
        store = blobs.open()
        mine, theirs = store.owned("mine"), store.owned("theirs")
        blob_id = mine.put(b"secret")
        assert mine.get(blob_id) == b"secret"
        for stranger in (theirs, store):
            with pytest.raises(KeyError):
                stranger.get(blob_id)
        assert blob_id not in theirs
        theirs.drop(blob_id)
        assert blob_id in mine
        with pytest.raises(PermissionError, match="expected owner 'theirs'"):
            theirs.get(blob_id, owner="mine")
        mine.drop(blob_id)
        assert blob_id not in store

    def test_of_one_owner_go_together_and_take_nothing_else_along(self, blobs: Kind) -> None:
        store = blobs.open()
        gone = [store.put(bytes([number]), owner="gone") for number in range(3)]
        kept, nobodys = store.put(b"kept", owner="kept"), store.put(b"nobody's")
        blobs.open().drop_owner("gone")
        store.drop_owner("gone")
        assert not any(blob_id in store for blob_id in gone)
        assert store.get(kept, owner="kept") == b"kept"
        assert store.get(nobodys, owner="anybody") == b"nobody's"

    @pytest.mark.parametrize(
        "odd", ["", "x", "../../etc/passwd", "a/b", ".lock", "0" * 32, "0" * 32 + "-" + "x" * 31 + "/", "\0", "é" * 65]
    )
    def test_are_not_found_by_ids_that_were_never_given_out(self, blobs: Kind, odd: str) -> None:
        store = blobs.open()
        store.put(b"x")
        assert odd not in store
        assert 5 not in store
        assert not store.has(odd)
        assert not store.has(None)
        store.drop(odd)
        with pytest.raises(KeyError):
            store.get(odd)

    def test_expire(self, blobs: Kind) -> None:
        store = blobs.open(ttl_s=_TTL_S)
        blob_id = store.put(b"x", owner="a")
        blobs.passes(0.9 * _TTL_S)
        assert blob_id in store
        blobs.passes(0.1 * _TTL_S)
        assert blob_id not in store
        assert not store.has(blob_id, owner="a")
        with pytest.raises(KeyError):
            store.get(blob_id, owner="a")

    @pytest.mark.parametrize("bounds", [{"max_entries": 2}, {"max_bytes": 25}])
    def test_beyond_the_bound_are_refused_until_something_expires(self, blobs: Kind, bounds: dict[str, int]) -> None:
        store = blobs.open(ttl_s=_TTL_S, **bounds)
        old = store.put(b"0123456789", owner="a")
        blobs.passes(0.5 * _TTL_S)
        live = store.put(b"0123456789", owner="b")
        with pytest.raises(StoreFull, match="expected at most"):
            store.put(b"0123456789", owner="c")
        assert store.get(live, owner="b") == b"0123456789"
        blobs.passes(0.5 * _TTL_S)
        new = store.put(b"0123456789", owner="c")
        assert [blob_id in store for blob_id in (old, live, new)] == [False, True, True]

    def test_that_were_dropped_make_room(self, blobs: Kind) -> None:
        store = blobs.open(max_entries=2)
        first, second = store.put(b"1", owner="a"), store.put(b"2", owner="b")
        assert full(lambda: store.put(b"3"))
        store.drop(first)
        store.put(b"3")
        assert full(lambda: store.put(b"4"))
        store.drop_owner("b")
        store.put(b"4")
        assert second not in store

    @pytest.mark.parametrize("bounds", [{"max_owner_entries": 2}, {"max_owner_bytes": 25}])
    def test_of_one_session_have_a_bound_of_their_own(self, blobs: Kind, bounds: dict[str, int]) -> None:
        store = blobs.open(**bounds)
        first = store.put(b"0123456789", owner="greedy")
        store.put(b"0123456789", owner="greedy")
        with pytest.raises(StoreFull, match="of one session"):
            store.put(b"0123456789", owner="greedy")
        store.put(b"0123456789", owner="modest")
        store.drop(first)
        store.put(b"0123456789", owner="greedy")
        for _ in range(3):
            store.put(b"0123456789")

    def test_are_counted_right_when_threads_put_and_drop(self, blobs: Kind) -> None:
        stores = [blobs.open() for _ in range(4)]

        def work(index: int) -> None:
            own = stores[index].owned(str(index))
            for turn in range(10):
                blob_id = own.put(bytes([index]) * 10)
                assert own.get(blob_id) == bytes([index]) * 10
                if turn % 2:
                    own.drop(blob_id)

        in_threads(work)
        whole = getattr(stores[0], "_store", stores[0])
        assert (len(whole), whole.total_bytes) == (20, 200)
        for index in range(4):
            stores[0].drop_owner(str(index))
        assert (len(whole), whole.total_bytes) == (0, 0)

    def test_never_exceed_the_bound_when_threads_put(self, blobs: Kind) -> None:
        store: BlobStore = blobs.open(max_entries=5)
        in_threads(lambda index: [full(lambda: store.put(b"x", owner=str(index))) for _ in range(4)] and None)
        whole = getattr(store, "_store", store)
        assert len(whole) == 5


class TestSessions:
    def test_are_replaced_and_dropped_through_any_store(self, sessions: Kind) -> None:
        one, other = sessions.open(), sessions.open()
        one.check()
        assert one.snapshot("a") is None
        one.store("a", state("1"))
        other.store("a", state("2"))
        assert one.snapshot("a") == other.snapshot("a") == state("2")
        assert "a" in one
        assert 5 not in one
        assert len(one) == 1
        other.drop("a")
        other.drop("a")
        assert one.snapshot("a") is None
        assert "a" not in one
        assert list(one) == []

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        payload=st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=20),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                max_leaves=6,
            ),
            max_size=4,
        )
    )
    def test_keep_any_payload_that_is_json(self, sessions: Kind, payload: dict[str, Any]) -> None:
        store = sessions.open()
        store.store("a", ContinuationState(kind="ltx2.v1", payload=payload))
        assert store.snapshot("a") == ContinuationState(kind="ltx2.v1", payload=payload)
        sessions.close()

    def test_take_ids_of_any_form_for_names_and_never_for_paths(self, sessions: Kind, tmp_path: Path) -> None:
        store, names = sessions.open(), ["../../a", "a/b", "a\\b", ".", "..", "a b", "*", "é", "a:b", "\0", "A", "a"]
        for name in names:
            store.store(name, state(name))
        assert sorted(store) == sorted(names)
        assert all(store.snapshot(name) == state(name) for name in names)
        assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} <= {tmp_path}
        for name in names:
            store.drop(name)
        assert list(store) == []

    def test_hydrate_under_the_given_id_and_otherwise_a_new_one(self, sessions: Kind) -> None:
        store = sessions.open()
        assert store.hydrate(state("x"), session_id="given") == "given"
        first, second = store.hydrate(state()), store.hydrate(state())
        assert first != second
        assert store.snapshot("given") == state("x")
        store.hydrate(state("y"), session_id="given")
        assert store.snapshot("given") == state("y")

    def test_may_change_while_they_are_listed(self, sessions: Kind) -> None:
        store = sessions.open()
        for name in "abc":
            store.store(name, state())
        for name in store:
            store.drop(name)
        assert list(store) == []

    def test_expire_unless_they_go_on_storing(self, sessions: Kind) -> None:
        store = sessions.open(ttl_s=_TTL_S)
        store.store("idle", state())
        store.store("busy", state())
        sessions.passes(0.6 * _TTL_S)
        store.store("busy", state())
        sessions.passes(0.6 * _TTL_S)
        assert list(store) == ["busy"]
        sessions.passes(0.4 * _TTL_S)
        assert "busy" not in store
        assert store.snapshot("busy") is None

    @pytest.mark.parametrize("bounds", [{"max_entries": 2}, {"max_bytes": 2500}])
    def test_beyond_the_bound_are_refused_and_those_that_are_there_are_served(
        self, sessions: Kind, bounds: dict[str, int]
    ) -> None:
        store = sessions.open(**bounds)
        store.store("a", state("x" * 1000))
        store.store("b", state("x" * 1000))
        with pytest.raises(StoreFull, match="live sessions"):
            store.store("c", state("x" * 1000))
        store.store("b", state("y" * 1000))
        assert store.snapshot("a") == state("x" * 1000)
        assert store.snapshot("b") == state("y" * 1000)
        store.drop("a")
        store.store("c", state("x" * 1000))
        assert sorted(store) == ["b", "c"]

    def test_that_expired_make_room(self, sessions: Kind) -> None:
        store = sessions.open(ttl_s=_TTL_S, max_entries=1)
        store.store("a", state())
        assert full(lambda: store.store("b", state()))
        sessions.passes(_TTL_S)
        store.store("b", state())
        assert list(store) == ["b"]

    def test_are_whole_when_threads_replace_them(self, sessions: Kind) -> None:
        stores = [sessions.open() for _ in range(4)]

        def work(index: int) -> None:
            for turn in range(10):
                stores[index].store("shared", state(f"{index}" * 1000 * turn))
                read = stores[index].snapshot("shared")
                assert len(set(read.payload["metadata"]["text"])) <= 1

        in_threads(work)
        assert len(stores[0]) == 1


class TestLeases:
    def test_let_one_holder_write_and_nobody_else(self, sessions: Kind) -> None:
        one, other = sessions.open(), sessions.open()
        lease = one.acquire("a", "first server")
        with pytest.raises(LeaseHeld, match="wait, or take it over"):
            other.acquire("a", "second server")
        with pytest.raises(LeaseHeld, match="acquire it"):
            other.store("a", state())
        mine = one.held(lease)
        mine.store("a", state("1"))
        assert mine.hydrate(state("2"), session_id="a") == "a"
        assert other.snapshot("a") == mine.snapshot("a") == state("2")
        with pytest.raises(LeaseHeld):
            other.drop("a")
        with pytest.raises(PermissionError, match="whose lease this is"):
            mine.store("b", state())
        mine.drop("a")
        assert "a" not in mine
        assert list(mine) == []
        other.store("b", state())

    def test_that_were_taken_over_are_refused_for_good(self, sessions: Kind) -> None:
        one, other = sessions.open(), sessions.open()
        old = one.acquire("a", "first server")
        one.store("a", state("old"), lease=old)
        new = other.acquire("a", "second server", take_over=True)
        assert new.token > old.token
        for write in (
            lambda: one.store("a", state("late"), lease=old),
            lambda: one.drop("a", lease=old),
            lambda: one.renew(old),
        ):
            with pytest.raises(LeaseLost, match="taken over"):
                write()
        one.release(old)
        assert other.snapshot("a") == state("old")
        other.store("a", state("new"), lease=new)
        other.drop("a", lease=new)
        other.release(new)
        with pytest.raises(LeaseLost):
            one.store("a", state("too late"), lease=old)

    def test_that_were_released_are_free_at_once(self, sessions: Kind) -> None:
        one, other = sessions.open(), sessions.open()
        first = one.acquire("a", "first server")
        one.release(first)
        other.store("a", state())
        assert other.acquire("a", "second server").token > first.token

    def test_run_out_and_can_be_renewed(self, sessions: Kind) -> None:
        one, other = sessions.open(), sessions.open()
        lease = one.acquire("a", "first server", ttl_s=10.0)
        sessions.passes(6.0)
        one.renew(lease)
        sessions.passes(6.0)
        with pytest.raises(LeaseHeld):
            other.acquire("a", "second server")
        sessions.passes(4.0)
        assert other.acquire("a", "second server").token > lease.token
        with pytest.raises(LeaseLost):
            one.renew(lease)

    def test_that_ran_out_still_let_their_holder_write_until_somebody_takes_over(self, sessions: Kind) -> None:
        store = sessions.open()
        lease = store.acquire("a", "first server", ttl_s=10.0)
        sessions.passes(10.0)
        store.store("a", state("anybody"))
        store.store("a", state("mine"), lease=lease)
        store.renew(lease)
        with pytest.raises(LeaseHeld):
            store.store("a", state("anybody"))

    def test_leave_nothing_behind_once_released_and_old(self, sessions: Kind) -> None:
        store = sessions.open(ttl_s=_TTL_S)
        first = store.acquire("a", "first server", ttl_s=10.0)
        store.release(first)
        sessions.passes(10.0)
        store.store("a", state(), lease=first)
        assert store.snapshot("a") == state()

    def test_are_given_to_one_of_many_that_ask_at_once(self, sessions: Kind) -> None:
        stores = [sessions.open() for _ in range(4)]
        won: list[int] = []

        def work(index: int) -> None:
            try:
                stores[index].acquire("a", f"server {index}")
            except LeaseHeld:
                return
            won.append(index)

        in_threads(work)
        assert len(won) == 1

    def test_have_tokens_that_rise_when_many_take_over(self, sessions: Kind) -> None:
        stores: list[LeasingSessionStore] = [sessions.open() for _ in range(4)]
        tokens: list[int] = []
        in_threads(
            lambda index: tokens.extend(
                stores[index].acquire("a", f"server {index}", take_over=True).token for _ in range(5)
            )
        )
        assert len(set(tokens)) == 20
        stores[0].acquire("a", "last server", take_over=True)
        with pytest.raises(LeaseLost):
            stores[0].renew(Lease("a", "an old server", max(tokens), 15.0))

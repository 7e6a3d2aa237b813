"""Files that are there whole or not at all, and only what we wrote."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastvideo.api.schema import ContinuationState
from fastvideo.entrypoints.streaming.file_blobs import FileBlobStore
from fastvideo.entrypoints.streaming.file_sessions import FileSessionStore
from fastvideo.entrypoints.streaming.store_errors import StoreFull, StoreUnavailable
from fastvideo.entrypoints.streaming.store_folder import StoreFolder
from fastvideo.entrypoints.streaming.store_record import (
    HEAD_BYTES,
    RecordDamaged,
    check_body,
    check_head,
    record_head,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path, Clock())


def put(folder: StoreFolder, name: str, body: bytes, ttl_s: float = 10.0) -> None:
    with folder.prepared(body, ttl_s=ttl_s) as file, folder.changing():
        file.commit(name)


def read_whole(data: bytes, most: int) -> bytes:
    head, body = data[:HEAD_BYTES], data[HEAD_BYTES:]
    assert check_head(head, len(data), most) == len(body)
    check_body(head, body)
    return body


@given(body=st.binary(max_size=200))
def test_a_record_comes_back(body: bytes) -> None:
    assert read_whole(record_head(body) + body, len(body)) == body


@given(body=st.binary(max_size=60), data=st.data())
def test_a_record_with_any_byte_changed_or_cut_off_is_damaged(body: bytes, data: st.DataObject) -> None:
    record = bytearray(record_head(body) + body)
    if data.draw(st.booleans()):
        del record[data.draw(st.integers(0, len(record) - 1)) :]
    else:
        record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RecordDamaged):
        read_whole(bytes(record), 1000)


def test_a_record_larger_than_allowed_is_refused_by_its_head_alone() -> None:
    with pytest.raises(RecordDamaged, match="at most 10 bytes"):
        check_head(record_head(b"x" * 11), HEAD_BYTES + 11, 10)


def test_a_damaged_file_is_logged_and_taken_to_be_lost(
    folder: StoreFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, "a.blob", b"0123456789")
    times = os.stat(tmp_path / "a.blob")
    for junk in (b"", b"short", (tmp_path / "a.blob").read_bytes()[:-1], os.urandom(100)):
        (tmp_path / "a.blob").write_bytes(junk)
        os.utime(tmp_path / "a.blob", ns=(times.st_atime_ns, times.st_mtime_ns))
        caplog.clear()
        assert folder.read("a.blob", 100) is None
        assert "damaged" in caplog.text


@pytest.mark.parametrize("name", ["../a.blob", "/a.blob", "a", ".lock", "a.blob/b", "a\n.blob", "", "a.blob\0"])
def test_a_name_that_could_lead_elsewhere_is_refused(folder: StoreFolder, name: str) -> None:
    with pytest.raises(ValueError, match="name of a stored file"):
        folder.read(name, 10)
    with pytest.raises(ValueError, match="name of a stored file"):
        put(folder, name, b"x")
    with pytest.raises(ValueError, match="name of a stored file"):
        folder.remove(name)


def test_a_link_is_not_followed(folder: StoreFolder, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "a.blob").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreUnavailable):
        folder.read("a.blob", 100)


def test_what_was_not_committed_leaves_nothing(folder: StoreFolder, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), folder.prepared(b"x", ttl_s=10):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_whose_writer_lives_is_left_and_one_whose_writer_was_killed_is_removed(
    folder: StoreFolder, tmp_path: Path
) -> None:
    killed = (
        "import os, signal, time, pathlib, sys\n"
        "from fastvideo.entrypoints.streaming.store_folder import StoreFolder\n"
        "with StoreFolder(pathlib.Path(sys.argv[1]), time.time).prepared(b'x', ttl_s=10):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], timeout=60)
    assert len(list(tmp_path.glob(".new-*"))) == 1
    with folder.prepared(b"mine", ttl_s=10) as file, folder.changing():
        assert len(list(tmp_path.glob(".new-*"))) == 1
        file.commit("a.blob")
    assert list(tmp_path.glob(".new-*")) == []
    assert folder.read("a.blob", 100) == b"mine"


def test_a_reader_goes_on_while_the_folder_is_locked(folder: StoreFolder) -> None:
    put(folder, "a.blob", b"x")
    with folder.changing():
        assert folder.read("a.blob", 10) == b"x"
        assert list(folder.live()) == ["a.blob"]


def test_two_do_not_change_a_folder_at_once(folder: StoreFolder, tmp_path: Path) -> None:
    entered, other = threading.Event(), StoreFolder(tmp_path, Clock())

    def enter() -> None:
        with other.changing():
            entered.set()

    with folder.changing():
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(20)
    thread.join(20)


def test_processes_that_put_at_once_never_exceed_the_bound_together(tmp_path: Path) -> None:
    putting = (
        "import pathlib, sys\n"
        "from fastvideo.entrypoints.streaming.file_blobs import FileBlobStore\n"
        "from fastvideo.entrypoints.streaming.store_errors import StoreFull\n"
        "store, put = FileBlobStore(pathlib.Path(sys.argv[1]), max_entries=30), 0\n"
        "sys.stdin.read()\n"
        "for number in range(20):\n"
        "    try:\n"
        "        store.put(b'x' * 1000)\n"
        "    except StoreFull:\n"
        "        continue\n"
        "    put += 1\n"
        "print(put)\n"
    )
    command = [sys.executable, "-c", putting, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    put = [int(process.communicate(timeout=60)[0]) for process in _let_go(processes)]
    assert sum(put) == len(FileBlobStore(tmp_path)) == 30


def _let_go(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    return processes


def test_files_of_others_are_neither_counted_nor_removed(tmp_path: Path) -> None:
    clock = Clock()
    store = FileBlobStore(tmp_path, ttl_s=10, max_entries=1, clock=clock)
    for name in ("README", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (clock.now_s + 100, clock.now_s + 100))
    store.put(b"1")
    assert len(store) == 1
    clock.now_s += 10
    store.put(b"2")
    assert {"README", "notes.txt", ".hidden"} <= {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("*.blob"))) == 1


def test_what_expired_takes_no_room_on_the_disk_after_the_next_write(tmp_path: Path) -> None:
    clock = Clock()
    store = FileSessionStore(tmp_path, ttl_s=10, clock=clock)
    store.store("old", ContinuationState("ltx2.v1", {}))
    lease = store.acquire("old", "this server", ttl_s=5)
    store.release(lease)
    clock.now_s += 10
    store.store("new", ContinuationState("ltx2.v1", {}))
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [b"new".hex() + ".state"]


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (errno.ENOSPC, StoreFull, "expected room on the disk"),
        (errno.EDQUOT, StoreFull, "expected room on the disk"),
        (errno.EIO, StoreUnavailable, "check it and its disk"),
    ],
)
def test_a_disk_that_fails_is_an_error_with_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], sentence: str
) -> None:
    store = FileBlobStore(tmp_path)

    def failing(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(kind, match=sentence):
        store.put(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_an_id_too_long_for_a_file_is_refused_when_stored_and_unknown_otherwise(tmp_path: Path) -> None:
    store: Any = FileSessionStore(tmp_path)
    for name in ("", "x" * 121):
        with pytest.raises(ValueError, match="1 to 120 bytes"):
            store.store(name, ContinuationState("ltx2.v1", {}))
        assert name not in store
        assert store.snapshot(name) is None
        store.drop(name)

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastvideo.api.schema import ApiKeyConfig, AuthConfig
from fastvideo.entrypoints.access.api_keys import key_digest
from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.main import main
from tests.entrypoints.bench.conftest import serving

KEY = "fvk-a-key-that-nobody-may-see-0123456789"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for a key."""
    keys = [ApiKeyConfig(name="bench", sha256=key_digest(KEY))]
    with serving(tmp_path_factory.mktemp("results"), auth=AuthConfig(keys=keys)) as address:
        yield address


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.delenv("FASTVIDEO_API_KEY", raising=False)
    return {"key": tmp_path / "key", "json": tmp_path / "found.json", "html": tmp_path / "found.html"}


def bench(url: str, written: dict[str, Path], *words: str) -> tuple[int, dict[str, Any]]:
    outputs = ("--json", str(written["json"]), "--html", str(written["html"]))
    code = main(["bench", "--base-url", url, "--wait", "60", *outputs, *words])
    return code, json.loads(written["json"].read_text())


def test_jobs_are_made_and_reported_without_the_key(
    url: str, written: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = bench(
        url, written, "--num-prompts", "4", "--max-concurrency", "2", "--api-key-file", str(written["key"])
    )
    said = capsys.readouterr()
    assert code == ExitCode.DONE
    assert (found["kind"], found["metrics"]["completed"], found["metrics"]["failed"]) == ("jobs", 4, 0)
    assert found["metrics"]["latency"]["count"] == 4
    assert [job["video_s"] for job in found["jobs"]] == [1.0] * 4
    assert found["setup"]["server"] == url
    page = written["html"].read_text()
    assert "4 of 4" in page
    assert "4 of 4" in said.out
    assert "jobs 4/4" in said.err
    assert not any(KEY in text for text in (page, json.dumps(found), said.out, said.err))


def test_jobs_without_the_key_fail_by_its_code(
    url: str, written: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = bench(url, written, "--num-prompts", "3", "--disable-tqdm")
    assert code == ExitCode.REFUSED
    assert found["metrics"]["failures"] == {"401 unauthorized": 3}
    said = capsys.readouterr()
    assert "3  401 unauthorized" in said.out
    assert said.err == ""


def test_streams_are_watched_and_reported(
    url: str, written: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTVIDEO_API_KEY", KEY)
    code, found = bench(url, written, "--streams", "2", "--watch", "1", "--steer-every", "0.2", "--request-rate", "50")
    assert code == ExitCode.DONE
    assert found["metrics"]["ends"] == {"watched": 2}
    assert found["metrics"]["prompts_sent"] == sum(len(session["steering"]) for session in found["sessions"]) > 0
    assert "2 of 2" in capsys.readouterr().out
    assert KEY not in written["html"].read_text() + json.dumps(found)


def test_streams_without_the_key_are_refused(url: str, written: dict[str, Path]) -> None:
    code, found = bench(url, written, "--streams", "1")
    assert code == ExitCode.REFUSED
    assert found["metrics"]["ends"] == {"refused: session_rejected: unauthorized": 1}


def test_json_can_be_printed_alone(url: str, written: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "--base-url", f"{url}/v1/", "--num-prompts", "1", "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out)["setup"]["server"] == url
    assert said.err == ""


def test_where_nobody_answers_is_one_sentence_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--host", "127.0.0.1", "--port", "1"]) == ExitCode.NO_ANSWER
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "expected a running server at http://127.0.0.1:1" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--base-url", "localhost:8000"], "expected --base-url like http://host:8000"),
        (["--base-url", "http://host:port"], "expected --base-url like http://host:8000"),
        (["--base-url", "http://me:secret@host"], "keys go into FASTVIDEO_API_KEY"),
        (["--base-url", "http://host?key=secret"], "keys go into FASTVIDEO_API_KEY"),
        (["--num-prompts", "0"], "expected --num-prompts of at least 1, got 0"),
        (["--request-rate", "-1"], "expected --request-rate above 0, got -1"),
        (["--request-rate", "nan"], "expected --request-rate above 0, got nan"),
        (["--watch", "inf", "--streams", "1"], "expected a finite --watch"),
        (["--steer-every", "-1"], "expected --steer-every of at least 0"),
        (["--width", "64"], "expected --width and --height together"),
        (["--task", "video-to-video"], "docs/openai.md"),
        (["--streams", "2", "--max-concurrency", "2"], "--max-concurrency is for jobs"),
        (["--dataset", "vbench", "--dataset-path", "/nonexistent"], "nothing is downloaded"),
        (["--json", "/nonexistent/found.json"], "folder that exists"),
        (["--api-key-file", "/nonexistent/key"], "No such file"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == ExitCode.FAILED
    message = capsys.readouterr().err
    assert message.startswith("fastvideo bench: ")
    assert said in message
    assert "secret" not in message
    assert message.count("\n") == 1


def test_a_file_that_is_no_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "key"
    path.write_text("two words\n")
    assert main(["bench", "--api-key-file", str(path)]) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert str(path) in said
    assert "two words" not in said

import os
import subprocess
import sys

import pytest

import fastvideo
from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.inference_config import build_serve_config
from fastvideo.entrypoints.cli.main import main
from fastvideo.entrypoints.streaming.start_failure import StartFailure


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text("generator: {model_path: 'mock:'}\nstreaming: {}\n")
    return path


def arguments(path):
    return type("Arguments", (), {"config": str(path)})()


def test_no_subcommand_prints_help(capsys):
    assert main([]) == 0
    assert "serve" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"fastvideo {fastvideo.__version__}\n"


def test_help_starts_without_what_only_some_commands_need():
    code = (
        "import sys\nfrom fastvideo.entrypoints.cli.main import main\nassert main([]) == 0\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'yaml', 'asyncio', 'httpx', 'websockets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_has_had_enough_is_no_error():
    command = [sys.executable, "-m", "fastvideo.entrypoints.cli.main", "completion", "bash"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (ExitCode.PIPE_CLOSED, b"")


def test_an_error_that_nobody_foresaw_keeps_its_traceback(config_file, monkeypatch):
    def run_server(config):
        raise KeyError("a fault of ours")

    monkeypatch.setattr("fastvideo.entrypoints.streaming.server.run_server", run_server)
    with pytest.raises(KeyError):
        main(["serve", "--config", str(config_file)])


def test_overrides_of_every_documented_section_are_taken(config_file):
    words = ["--streaming.warmup.enabled", "false", "--server.port=9", "--default_request.sampling.seed", "3"]
    config = build_serve_config(arguments(config_file), words)
    assert config.streaming.warmup.enabled is False
    assert (config.server.port, config.default_request.sampling.seed) == (9, 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--colour", "3"], "--colour is no override"),
        (["--router.port", "3"], "--router.port is no override"),
        (["--streaming.max_sesions", "3"], "did you mean 'max_sessions'"),
        (["--server.port"], "has no value"),
        (["--streaming.stream_mode", "legacy_jpeg"], "streaming.stream_mode"),
        (["--streaming.drain_timeout_seconds", "0"], "expected greater than 0, got 0"),
        (["--streaming.drain_timeout_seconds", "-3.5"], "expected greater than 0, got -3.5"),
        (["--streaming.drain_timeout_seconds", "soon"], "expected a valid number"),
        (["--streaming.drain_timeout_seconds", "true"], "expected a valid number"),
    ],
)
def test_a_wrong_override_is_one_sentence_and_exit_code_1(config_file, capsys, words, said):
    assert main(["serve", "--config", str(config_file), *words]) == 1
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_a_server_that_cannot_start_is_one_sentence_and_exit_code_3(config_file, capsys, monkeypatch):
    def run_server(config):
        raise StartFailure("the port is taken;\n choose another")

    monkeypatch.setattr("fastvideo.entrypoints.streaming.server.run_server", run_server)
    assert main(["serve", "--config", str(config_file)]) == 3
    assert capsys.readouterr().err == "fastvideo serve: the port is taken; choose another\n"


def test_a_config_without_a_streaming_block_serves_the_http_api_alone(tmp_path, monkeypatch):
    path = tmp_path / "serve.yaml"
    path.write_text("generator: {model_path: x}\n")
    served = []
    monkeypatch.setattr("fastvideo.entrypoints.openai.api_server.run_server", served.append)
    assert main(["serve", "--config", str(path), "--openai.max_running", "3"]) == 0
    (config,) = served
    assert config.streaming is None
    assert config.openai.max_running == 3


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_threads_of_a_model_do_not_spin_unless_the_environment_says_so(config_file, monkeypatch, given, expected):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    seen = []
    monkeypatch.setattr(
        "fastvideo.entrypoints.streaming.server.run_server", lambda config: seen.append(os.environ["OMP_WAIT_POLICY"])
    )
    assert main(["serve", "--config", str(config_file)]) == 0
    assert seen == [expected]


def test_a_missing_file_is_one_sentence(capsys):
    assert main(["serve", "--config", "absent.yaml"]) == 1
    assert "absent.yaml" in capsys.readouterr().err


def test_a_command_without_a_config_is_a_usage_error():
    with pytest.raises(SystemExit) as caught:
        main(["serve"])
    assert caught.value.code == 2

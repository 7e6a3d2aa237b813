import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from fastvideo.entrypoints.cli.config_check import KINDS, faults_of, kind_of, schema_of
from fastvideo.entrypoints.cli.config_lines import ConfigLines
from fastvideo.entrypoints.cli.main import main

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


def check(tmp_path, capsys, text, *options, suffix=".yaml"):
    """Exit code, standard output, and the lines of standard error without the file's name."""
    path = tmp_path / f"file{suffix}"
    path.write_text(text)
    code = main(["config", "check", str(path), *options])
    said = capsys.readouterr()
    return code, said.out, [line.removeprefix(str(path)) for line in said.err.splitlines()]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_accepted_and_fits_its_schema(path, capsys):
    assert main(["config", "check", str(path)]) == 0
    raw = yaml.safe_load(path.read_text())
    jsonschema.validate(raw, schema_of(kind_of(raw)))
    assert capsys.readouterr().out == f"{path}: accepted by fastvideo {kind_of(raw)}\n"


def test_everything_that_is_wrong_is_said_at_its_line(tmp_path, capsys):
    text = """\
generator:
  model_path: "embedded:"
  revision: main
server: {port: eighty}
streaming:
  max_sesions: 4
  pool:
    num_workers: "two"
colour: 3
"""
    code, _, said = check(tmp_path, capsys, text)
    assert code == 1
    assert said[:4] == [
        ":3: generator.revision: only None is supported (models are local files, and nothing is fetched)",
        ':4: server.port: expected a valid integer, got "eighty" (str)',
        ":6: streaming.max_sesions: unknown key; did you mean 'max_sessions'?",
        ':8: streaming.pool.num_workers: expected a valid integer, got "two" (str)',
    ]
    assert said[4].startswith(":9: colour: unknown key; known keys: ")


def test_values_that_do_not_go_together_are_all_said(tmp_path, capsys):
    text = """\
generator: {model_path: absent.safetensors}
server: {port: 80000}
default_request: {sampling: {width: 7, num_frames: 0}}
streaming: {max_sessions: 0, pool: {conditioning_num_frames: 3}}
"""
    _, _, said = check(tmp_path, capsys, text)
    paths = [line.split(": ")[1] for line in said]
    assert sorted(paths) == [
        *("default_request.sampling.num_frames", "default_request.sampling.width", "generator.model_path"),
        *("server.port", "streaming.max_sessions", "streaming.pool.conditioning_num_frames"),
    ]
    _, _, without_files = check(tmp_path, capsys, text, "--no-files")
    assert len(without_files) == len(said) - 1


def test_what_the_servers_parts_would_refuse_at_the_start_is_said(tmp_path, capsys):
    text = """\
generator: {model_path: "mock:"}
server: {auth: {keys_file: absent-keys.yaml}}
streaming:
  stores: {sessions: "s3://bucket", blobs: "redis:"}
  prompt: {providers: [{name: mine, model: m}]}
openai: {results: "http://elsewhere"}
"""
    _, _, said = check(tmp_path, capsys, text)
    assert [line.split(": ")[1] for line in said] == [
        *("server.auth.keys_file", "streaming.stores.sessions", "streaming.stores.blobs"),
        *("streaming.prompt.providers[0].base_url", "openai.results"),
    ]


@pytest.mark.parametrize("words", [["check", str(CONFIGS[0])], ["schema"]])
def test_checking_needs_no_torch(words):
    code = (
        "import sys\nfrom fastvideo.entrypoints.cli.main import main\n"
        f"assert main(['config', *{words!r}]) == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_key_that_stands_there_twice_is_said(tmp_path, capsys):
    text = "generator: {model_path: 'mock:'}\nserver:\n  port: 1\n  port: 2\n"
    code, _, said = check(tmp_path, capsys, text)
    assert (code, said) == (1, [":4: server.port: stands there a second time; the first is ignored"])


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("{}", "request.prompt: expected a prompt (--prompt), or a file of them (--prompt-file), got neither"),
        ("{prompt: a, sampling: {fps: 0}}", "request.sampling.fps: expected 1 to 60 frames per second, got 0"),
        ("{prompt: a, inputs: {pose: p}}", "request.inputs.pose: only None is supported"),
        ("{inputs: {prompt_path: absent.txt}}", "request.inputs.prompt_path: cannot be read"),
    ],
)
def test_run_files_are_told_by_their_request(tmp_path, capsys, request_, said):
    code, _, (line,) = check(tmp_path, capsys, f"generator: {{model_path: 'embedded:'}}\nrequest: {request_}\n")
    assert code == 1
    assert said in line


def test_a_run_file_of_sound_alone_is_accepted_and_a_serve_file_of_it_is_not(tmp_path, capsys):
    generator = "generator: {model_path: 'tiny:', pipeline: {workload_type: t2a}}\n"
    assert check(tmp_path, capsys, f"{generator}request: {{prompt: a}}\n")[0] == 0
    assert check(tmp_path, capsys, generator)[0] == 1


def test_all_faults_of_a_router_file_are_said(tmp_path, capsys):
    text = """\
router:
  port: 70000
  health_check: {interval_seconds: 0}
  replicas:
    - url: http://127.0.0.1:8000/stream
    - url: http://127.0.0.1:8001
      weight: 0
"""
    _, _, said = check(tmp_path, capsys, text)
    assert [line.partition(": expected")[0] for line in said] == [
        ":2: router.port",
        ":3: router.health_check.interval_seconds",
        ":5: router.replicas[0].url",
        ":7: router.replicas[1].weight",
    ]


def test_programs_get_json(tmp_path, capsys):
    code, out, _ = check(tmp_path, capsys, '{"generator": {}}', "--json", suffix=".json")
    assert code == 1
    assert json.loads(out)["errors"] == [
        {"line": 1, "path": "generator.model_path", "message": "is required and missing"}
    ]


def test_text_that_is_no_yaml_is_said(tmp_path, capsys):
    code, _, (line,) = check(tmp_path, capsys, "a: [")
    assert code == 1
    assert "cannot be read" in line


def test_a_missing_file_is_one_sentence(capsys):
    assert main(["config", "check", "absent.yaml"]) == 1
    assert capsys.readouterr().err == "fastvideo config: there is no config file 'absent.yaml'\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_refuses_what_is_refused(kind, capsys):
    assert main(["config", "schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    wrong = {"colour": 3}
    assert faults_of(wrong, kind)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_lines_are_those_of_the_nearest_key_that_is_there():
    lines = ConfigLines("a:\n  b:\n    - c: 1\n    - d: 2\n")
    assert [lines.line_of(path) for path in ("a", "a.b[1].d", "a.b[1].e", "a.b[7].f", "a.x.y", "z")] == [
        *(1, 4, 4, 2, 1, None)
    ]

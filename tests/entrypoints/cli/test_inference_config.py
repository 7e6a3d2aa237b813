from argparse import Namespace

import pytest

from fastvideo.api.errors import ConfigValidationError
from fastvideo.entrypoints.cli.inference_config import build_generate_run_config

RUN = """
generator: {model_path: 'embedded:'}
request:
  prompt: a red ball
  sampling: {seed: 3}
"""


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return str(path)


def options(config=None, **given):
    return Namespace(config=config, **given)


def test_a_file_is_read_and_overrides_lie_on_top(run_file):
    config = build_generate_run_config(options(run_file), ["--request.sampling.seed", "5"])
    assert (config.request.prompt, config.request.sampling.seed) == ("a red ball", 5)


def test_options_stand_for_keys_of_the_file(run_file):
    config = build_generate_run_config(
        options(run_file, model="tiny:", prompt=["a", "b"], image=["first.png"], lora="l.safetensors", output="o")
    )
    assert config.generator.model_path == "tiny:"
    assert config.generator.pipeline.components.lora_path == "l.safetensors"
    assert config.request.prompt == ["a", "b"]
    assert config.request.inputs.image_path == "first.png"
    assert config.request.output.output_path == "o"


def test_no_file_is_needed_beside_a_model():
    assert build_generate_run_config(options(model="embedded:", prompt=["a"])).request.prompt == "a"


def test_prompts_of_options_take_the_place_of_those_of_the_file(run_file, tmp_path):
    config = build_generate_run_config(options(run_file, prompt_file="p.txt"))
    assert (config.request.prompt, config.request.inputs.prompt_path) == (None, "p.txt")
    other = tmp_path / "other.json"
    other.write_text('{"generator": {"model_path": "embedded:"}, "request": {"inputs": {"prompt_path": "p.txt"}}}')
    config = build_generate_run_config(options(str(other), prompt=["a"]))
    assert (config.request.prompt, config.request.inputs.prompt_path) == ("a", None)


def test_frames_are_given_back_only_where_that_is_asked_for(run_file):
    assert build_generate_run_config(options(run_file)).request.output.return_frames is False
    asked = build_generate_run_config(options(run_file), ["--request.output.return_frames", "true"])
    assert asked.request.output.return_frames is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "3"], "--seed is no override of a run config; overrides are --generator.*, --request.*"),
        (["--server.port", "3"], "--server.port is no override"),
        (["--generator.engine.num_gpus", "0"], "generator.engine.num_gpus: expected at least 1, got 0"),
        (["--request.inputs.prompt_path", "p.txt"], "request.prompt: .* got both"),
        (["--request.prompt", "none"], "request.prompt: .* got neither"),
        (["--request.sampling.sed", "3"], "did you mean 'seed'"),
    ],
)
def test_a_wrong_override_is_a_value_error_that_names_it(run_file, words, said):
    with pytest.raises(ValueError, match=said):
        build_generate_run_config(options(run_file), words)


def test_a_file_without_a_generator_and_no_file_are_value_errors(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("request: {prompt: a}\n")
    with pytest.raises(ConfigValidationError, match=r"generator: is required and missing in .*run\.yaml"):
        build_generate_run_config(options(str(path)))
    with pytest.raises(ValueError, match="expected --config FILE, or --model"):
        build_generate_run_config(options())


def test_a_serve_config_is_told_apart(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text("generator: {model_path: 'mock:'}\nstreaming: {}\n")
    with pytest.raises(ConfigValidationError, match="is a file for 'fastvideo serve'"):
        build_generate_run_config(options(str(path), prompt=["a"]))

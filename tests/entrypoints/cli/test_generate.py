import json

import numpy as np
import pytest

import fastvideo
from fastvideo.api.errors import ConfigValidationError, GenerationFailed
from fastvideo.api.results import GenerationResult, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import EngineConfig, GenerationRequest, GeneratorConfig, RunConfig
from fastvideo.entrypoints.cli import shared_run
from fastvideo.entrypoints.cli.generation_run import GenerationRun, NumberedRequest
from fastvideo.entrypoints.cli.main import main
from fastvideo.entrypoints.cli.shared_run import run_in_processes, take_own_share
from fastvideo.entrypoints.cli.utils import launch_distributed


class FakeGenerator:
    """Makes what is asked for at once, except what it is told to fail at."""

    def __init__(self, faults=()):
        self.faults = dict(faults)
        self.running = True

    async def generate_async(self, request):
        yield VideoProgressEvent(0, 2)
        if request.prompt in self.faults:
            raise self.faults[request.prompt]
        yield VideoProgressEvent(2, 2)
        yield VideoPartialEvent(np.zeros((9, 4, 8, 3), np.uint8), 0)
        result = GenerationResult(
            prompt=request.prompt, video_path=f"{request.prompt}.mp4", size=(4, 8, 9), generation_time=1.25
        )
        yield VideoFinalEvent(result=result)

    def shutdown(self):
        self.running = False


def numbered(*prompts):
    return [NumberedRequest(index, len(prompts), GenerationRequest(prompt=p)) for index, p in enumerate(prompts)]


def run(generator, requests, **options):
    return GenerationRun(GeneratorConfig("embedded:"), load=lambda config: generator, **options).run(requests)


def test_a_video_is_a_line_and_its_progress_another_matter(capsys):
    generator = FakeGenerator()
    assert run(generator, numbered("ball")) == 0
    said = capsys.readouterr()
    assert said.out == "ball.mp4: 8x4, 9 frames, made in 1.2 s\n"
    assert said.err.splitlines() == ["loading embedded:", "denoise 2/2"]
    assert not generator.running


def test_one_that_fails_does_not_keep_the_next_from_being_made(capsys):
    generator = FakeGenerator({"bad": GenerationFailed("no luck"), "worse": ConfigValidationError("inputs.x", "wrong")})
    assert run(generator, numbered("bad", "worse", "good")) == 1
    said = capsys.readouterr()
    assert said.out == "good.mp4: 8x4, 9 frames, made in 1.2 s\n"
    assert "fastvideo generate: video 1 of 3 was not made: no luck\n" in said.err
    assert "fastvideo generate: video 2 of 3 was not made: inputs.x: wrong\n" in said.err


def test_machines_get_an_object_per_video_and_nothing_else(capsys):
    assert run(FakeGenerator({"bad": GenerationFailed("no luck")}), numbered("bad", "good"), json_lines=True) == 1
    said = capsys.readouterr()
    assert said.err == ""
    failed, made = (json.loads(line) for line in said.out.splitlines())
    assert failed == {"prompt_index": 0, "prompt": "bad", "error": "no luck"}
    assert (made["prompt_index"], made["video_path"], made["size"]) == (1, "good.mp4", [4, 8, 9])


def test_a_fault_of_ours_keeps_its_traceback_and_the_model_is_released():
    generator = FakeGenerator({"bad": KeyError("ours")})
    with pytest.raises(KeyError):
        run(generator, numbered("bad"))
    assert not generator.running


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected --config FILE, or --model"),
        (["--model", "embedded:"], "request.prompt: expected a prompt"),
        (["--model", "mock:", "--prompt", "a"], "expected a checkpoint, embedded: or tiny:"),
        (["--model", "absent.safetensors", "--prompt", "a"], "no model at absent.safetensors"),
        (["--model", "embedded:", "--prompt", "a", "--processes", "0"], "--processes of at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_1(capsys, words, said):
    assert main(["generate", *words]) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("fastvideo generate: ")
    assert said in last


def run_config(prompt, num_gpus=1):
    return RunConfig(
        GeneratorConfig("embedded:", engine=EngineConfig(num_gpus=num_gpus)), GenerationRequest(prompt=prompt)
    )


def test_processes_share_the_prompts_out_by_their_ranks():
    config = run_config(["a", "b", "c"])
    shares = [take_own_share(config, {"RANK": rank, "WORLD_SIZE": "2"}) for rank in ("0", "1")]
    assert [[(one.index, one.request.prompt) for one in share] for share in shares] == [
        [(0, "a"), (2, "c")],
        [(1, "b")],
    ]
    assert [one.request.prompt for one in take_own_share(run_config("a"), {})] == ["a"]


@pytest.mark.parametrize(("num_gpus", "expected"), [(1, "5"), (2, "7,8")])
def test_each_process_takes_gpus_of_its_own(monkeypatch, num_gpus, expected):
    monkeypatch.setattr(shared_run, "visible_devices", lambda environ=None: ("3", "5", "7", "8"))
    environment = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    take_own_share(run_config(["a", "b"], num_gpus), environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == expected


def test_a_run_is_handed_on_as_it_was_asked_for(monkeypatch):
    launched = []

    def launch(processes, words):
        with open(words[2]) as file:
            launched.append((processes, words[3:], json.load(file)))
        return 0

    monkeypatch.setattr(shared_run, "launch_distributed", launch)
    raw = {"generator": {"model_path": "embedded:"}, "request": {"prompt": ["a", "b"]}}
    assert run_in_processes(raw, 5, json_lines=True) == 0
    assert launched == [(2, ["--json"], raw)]


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(shared_run, "visible_devices", lambda: ("0", "1", "2"))
    raw = {"generator": {"model_path": "embedded:", "engine": {"num_gpus": 2}}, "request": {"prompt": ["a", "b"]}}
    with pytest.raises(ValueError, match=r"--processes of at most 1, .* of the 3 that are visible, got 2"):
        run_in_processes(raw, 2, json_lines=False)


def test_launch_distributed_runs_the_command_line_in_processes(capfd):
    assert launch_distributed(2, ["--version"]) == 0
    assert capfd.readouterr().out.count(f"fastvideo {fastvideo.__version__}") == 2

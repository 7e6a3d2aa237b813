"""One model over two processes, as a generator's configuration asks for it; on the CPU, where gloo carries what is
exchanged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import CheckpointError, ConfigValidationError, GenerationCancelled, GeneratorLost
from fastvideo.api.results import VideoFinalEvent
from fastvideo.api.schema import (
    CompileConfig,
    EngineConfig,
    GenerationRequest,
    GeneratorConfig,
    OutputConfig,
    ParallelismConfig,
    RequestRuntimeConfig,
    SamplingConfig,
)
from fastvideo.entrypoints.streaming.accelerator_faults import accelerator_lost
from fastvideo.entrypoints.video_generator import VideoGenerator
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from fastvideo.pipelines.basic.ltx2.sequence.link import RankLink
from fastvideo.pipelines.basic.ltx2.sequence.processes import SequenceProcesses
from fastvideo.pipelines.basic.ltx2.sequence.size import sequence_size


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def config_of(checkpoint: Path, ranks: int) -> GeneratorConfig:
    config = GeneratorConfig(model_path=str(checkpoint), engine=EngineConfig(num_gpus=ranks))
    # Three weaker predictions a step: every kind of forward pass.
    config.pipeline.preset = "ltx2_base"
    config.engine.parallelism.dist_timeout = 60
    return config


@pytest.fixture(scope="module")
def alone(checkpoint: Path) -> Iterator[VideoGenerator]:
    with VideoGenerator(config_of(checkpoint, 1)) as generator:
        yield generator


@pytest.fixture(scope="module")
def spread(checkpoint: Path) -> Iterator[VideoGenerator]:
    with VideoGenerator(config_of(checkpoint, 2)) as generator:
        yield generator
        (rank,) = other_ranks(generator)
        assert rank.poll() is None
    # A generator that is shut down leaves no process.
    assert rank.poll() == 0


def a_request(state: Any = None, *, batch_cfg: bool = False) -> GenerationRequest:
    return GenerationRequest(
        prompt="a fox",
        sampling=SamplingConfig(height=64, width=96, num_frames=17, num_inference_steps=2, seed=1, batch_cfg=batch_cfg),
        runtime=RequestRuntimeConfig(return_trajectory_latents=True),
        output=OutputConfig(save_video=False, return_state=True),
        state=state,
    )


def final(generator: VideoGenerator, request: GenerationRequest) -> VideoFinalEvent:
    last = list(generator.stream(request))[-1]
    assert isinstance(last, VideoFinalEvent)
    return last


def assert_same(ours: VideoFinalEvent, theirs: VideoFinalEvent) -> None:
    assert ours.result is not None
    assert theirs.result is not None
    for latents, expected in zip(ours.result.trajectory, theirs.result.trajectory, strict=True):
        torch.testing.assert_close(latents, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(ours.result.audio, theirs.result.audio, atol=1e-4)


def other_ranks(generator: VideoGenerator) -> list[Any]:
    assert generator._pipeline is not None
    assert generator._pipeline._lead is not None
    return list(generator._pipeline._lead._processes._processes)


def test_a_configured_generator_makes_with_two_ranks_what_one_makes(
    alone: VideoGenerator, spread: VideoGenerator
) -> None:
    assert len(other_ranks(spread)) == 1
    expected, found = (final(generator, a_request()) for generator in (alone, spread))
    assert_same(found, expected)
    # The next segment keeps some of its tokens; both continue the same state.
    after = a_request(expected.continuation_state, batch_cfg=True)
    assert_same(final(spread, after), final(alone, after))


def test_adapters_are_merged_on_every_rank_and_taken_out_again(
    alone: VideoGenerator, spread: VideoGenerator, tmp_path: Path
) -> None:
    assert alone._pipeline is not None
    width = alone._pipeline.denoise._transformer.config.dim
    layer = "diffusion_model.transformer_blocks.0.attn1.to_q"
    generator = torch.Generator().manual_seed(2)
    halves = {"A": torch.randn((2, width), generator=generator), "B": torch.randn((width, 2), generator=generator)}
    file = tmp_path / "style.safetensors"
    save_file({f"{layer}.lora_{half}.weight": tensor for half, tensor in halves.items()}, str(file))
    before = final(alone, a_request())
    for each in (alone, spread):
        each.set_lora_adapter("style", file, 0.5)
    with_it = final(spread, a_request())
    assert_same(with_it, final(alone, a_request()))
    assert before.result is not None
    assert with_it.result is not None
    assert not torch.allclose(with_it.result.trajectory[0], before.result.trajectory[0], atol=1e-3)
    for each in (alone, spread):
        each.unmerge_lora_weights()
    assert_same(final(spread, a_request()), before)


def test_a_cancelled_segment_leaves_the_ranks_in_step(alone: VideoGenerator, spread: VideoGenerator) -> None:
    token = CancellationToken()
    with pytest.raises(GenerationCancelled):
        for event in spread.stream(a_request(), cancel=token):
            if getattr(event, "step", 0) == 1:
                token.cancel()
    assert_same(final(spread, a_request()), final(alone, a_request()))


def test_a_generator_that_lost_a_process_says_so(checkpoint: Path) -> None:
    with VideoGenerator(config_of(checkpoint, 2)) as generator:
        (rank,) = other_ranks(generator)
        rank.kill()
        rank.wait()
        for _ in range(2):
            with pytest.raises(GeneratorLost, match=r"built again|have ended") as caught:
                final(generator, a_request())
            # A worker process ends with this, so that its pool starts another.
            assert accelerator_lost(caught.value)


def test_a_rank_that_cannot_load_says_why(tmp_path: Path) -> None:
    processes = SequenceProcesses(tmp_path / "none.safetensors", GeneratorConfig(model_path="x"), 2)
    with pytest.raises(CheckpointError, match="could not load it: no checkpoint at"):
        processes.joined(torch.device("cpu"))
    processes.close()


@pytest.mark.parametrize(
    ("engine", "path"),
    [
        (EngineConfig(num_gpus=0), "engine.num_gpus"),
        (EngineConfig(num_gpus=2, parallelism=ParallelismConfig(sp_size=4)), "engine.parallelism.sp_size"),
        (EngineConfig(parallelism=ParallelismConfig(sp_size=2)), "engine.parallelism.sp_size"),
        (EngineConfig(parallelism=ParallelismConfig(dist_timeout=0)), "engine.parallelism.dist_timeout"),
        (EngineConfig(num_gpus=2, compile=CompileConfig(enabled=True, fullgraph=True)), "engine.compile.fullgraph"),
        (
            EngineConfig(num_gpus=2, compile=CompileConfig(enabled=True, dit_kwargs={"fullgraph": True})),
            "engine.compile.fullgraph",
        ),
    ],
)
def test_sizes_that_contradict_each_other_are_refused_with_their_path(engine: EngineConfig, path: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        sequence_size(GeneratorConfig(model_path="x", engine=engine))
    assert caught.value.path == path


def test_the_number_of_gpus_is_the_number_of_ranks() -> None:
    assert sequence_size(GeneratorConfig(model_path="x")) == 1
    for size in (-1, 4):
        engine = EngineConfig(num_gpus=4, parallelism=ParallelismConfig(tp_size=1, sp_size=size))
        assert sequence_size(GeneratorConfig(model_path="x", engine=engine)) == 4


def test_a_message_that_was_cut_off_is_none() -> None:
    near, far = socket.socketpair()
    link = RankLink(far)
    near.sendall(json.dumps({"do": "positions"}).encode() + b'\n{"do": "vel')
    assert link.hear() == {"do": "positions"}
    with pytest.raises(TimeoutError):
        link.hear(0.01)
    near.close()
    link.close()

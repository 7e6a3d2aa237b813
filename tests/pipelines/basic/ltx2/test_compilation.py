from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastvideo.api.errors import ConfigValidationError
from fastvideo.api.results import VideoFinalEvent, VideoPartialEvent
from fastvideo.api.schema import CompileConfig, ContinuationState, GenerationRequest, OutputConfig, SamplingConfig
from fastvideo.models.ltx2.loader import LTX2Components, load_components
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint
from fastvideo.pipelines.basic.ltx2.compilation import compile_parts
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig

# Traces as every backend, and needs no compiler on the machine.
TRACED = {"backend": "eager", "fullgraph": True, "dynamic": False}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def segment(pipeline: LTX2Pipeline, state: ContinuationState | None = None) -> tuple[Any, ContinuationState]:
    sampling = SamplingConfig(height=64, width=64, num_frames=17, num_inference_steps=2, seed=4)
    request = GenerationRequest(
        prompt="a red kite", sampling=sampling, state=state, output=OutputConfig(return_state=True)
    )
    events = list(pipeline.stream(request))
    frames = np.concatenate([event.frames for event in events if isinstance(event, VideoPartialEvent)])
    final = events[-1]
    assert isinstance(final, VideoFinalEvent)
    assert final.continuation_state is not None
    return frames, final.continuation_state


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_all_blocks_of_the_first_and_of_continued_segments_are_one_graph_with_the_same_result(checkpoint: Path) -> None:
    plain = LTX2Pipeline(load_components(checkpoint), LTX2T2VConfig())
    expected, state = segment(plain)
    expected_next, _ = segment(plain, state)

    torch.compiler.reset()
    before = graphs()
    components = load_components(checkpoint)
    assert len(components.transformer.transformer_blocks) > 1
    compile_parts(components, CompileConfig(enabled=True, **TRACED))
    compiled = LTX2Pipeline(components, LTX2T2VConfig(one_graph=True))
    frames, _ = segment(compiled)
    assert graphs() == before + 1
    frames_next, _ = segment(compiled, state)
    # Only the number of audio tokens differs: a continued segment carries sound.
    assert graphs() <= before + 2
    for ours, theirs in ((frames, expected), (frames_next, expected_next)):
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_the_other_parts_are_compiled_by_switches_of_their_own(checkpoint: Path) -> None:
    expected, _ = segment(LTX2Pipeline(load_components(checkpoint), LTX2T2VConfig()))
    components = load_components(checkpoint)
    compile_parts(
        components,
        CompileConfig(
            backend="eager", text_encoder_enabled=True, vae_enabled=True, audio_vae_enabled=True, vae_kwargs=TRACED
        ),
    )
    assert is_compiled(components.text_encoder.layers[0])
    assert not is_compiled(components.transformer.transformer_blocks[0])
    frames, _ = segment(LTX2Pipeline(components, LTX2T2VConfig()))
    assert np.abs(frames.astype(int) - expected).max() <= 1


def is_compiled(block: torch.nn.Module) -> bool:
    return block._compiled_call_impl is not None


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (CompileConfig(enabled=True, mode="fastest"), "engine.compile"),
        (CompileConfig(enabled=True, extras={"speed": 3}), "engine.compile"),
        (CompileConfig(enabled=True, dit_kwargs={"backend": "none such"}), "engine.compile.dit_kwargs"),
    ],
)
def test_what_the_compiler_does_not_take_is_refused_with_its_path(
    config: CompileConfig, path: str, checkpoint: Path
) -> None:
    components: LTX2Components = load_components(checkpoint)
    with pytest.raises(ConfigValidationError, match=r"torch\.compile") as caught:
        compile_parts(components, config)
    assert caught.value.path == path

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from fastvideo.api.cancellation import CancellationToken
from fastvideo.api.errors import (
    ConfigValidationError,
    GenerationCancelled,
    GenerationFailed,
    LimitExceeded,
    StateInvalid,
)
from fastvideo.api.parser import config_to_dict, parse_config
from fastvideo.api.results import GenerationResult, VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import (
    ContinuationState,
    GenerationRequest,
    GeneratorConfig,
    GpuPoolConfig,
    InputConfig,
    OutputConfig,
    RequestLimits,
    SamplingConfig,
)
from fastvideo.entrypoints.model_path import build_generator
from fastvideo.entrypoints.video_generator import VideoGenerator

SMALL = {"height": 64, "width": 64, "num_frames": 17, "num_inference_steps": 2, "seed": 1}

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def generator(cache: None) -> Iterator[VideoGenerator]:
    with VideoGenerator.from_pretrained("tiny:?seed=0") as built:
        yield built


def a_request(prompt: Any = "a fox", *, output: OutputConfig | None = None, **sampling: Any) -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt,
        sampling=SamplingConfig(**(SMALL | sampling)),
        output=output or OutputConfig(save_video=False, return_state=True),
    )


def one(result: GenerationResult | list[GenerationResult]) -> GenerationResult:
    assert isinstance(result, GenerationResult)
    return result


async def events_of(generator: VideoGenerator, request: GenerationRequest) -> list[VideoEvent]:
    return [event async for event in generator.generate_async(request)]


def streams(data: bytes) -> dict[str, Any]:
    import io

    with av.open(io.BytesIO(data)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        video = container.streams.video[0]
        sound = container.streams.audio[0]
        return {"frames": frames, "size": (video.height, video.width), "rate": sound.rate}


def test_generate_gives_frames_sound_state_and_figures(generator: VideoGenerator) -> None:
    result = one(generator.generate(a_request()))
    assert result.prompt == "a fox"
    assert result.prompt_index is None
    assert result.size == (64, 64, 17)
    assert np.stack(result.frames).shape == (17, 64, 64, 3)
    assert torch.equal(result.samples, torch.from_numpy(np.stack(result.frames)))
    assert result.audio.shape == (2, 17 * 24000 // 24)
    assert result.audio_sample_rate == 24000
    assert result.state is not None
    assert result.peak_memory_mb is not None
    assert result.peak_memory_mb > 50
    assert result.video_path is None
    metadata = result.metadata
    assert metadata["generation_time"] == metadata["inference_time_s"] == result.generation_time > 0
    assert set(metadata["timings"]) == {"text", "denoise", "decode", "state"}


def test_the_preset_of_the_model_fills_in_what_the_request_leaves_out(generator: VideoGenerator) -> None:
    assert generator.preset.name == "ltx2_tiny"
    resolved = generator.resolve(GenerationRequest(prompt="a fox", sampling=SamplingConfig(seed=5)))
    sampling = resolved.sampling
    assert (sampling.height, sampling.width, sampling.num_frames, sampling.fps) == (256, 256, 121, 24)
    assert sampling.num_inference_steps == 4
    assert sampling.seed == 5


def test_a_video_is_written_with_sound_and_numbered(generator: VideoGenerator, tmp_path: Path) -> None:
    output = OutputConfig(output_path=str(tmp_path), return_frames=False)
    results = [one(generator.generate(a_request(output=output))) for _ in range(2)]
    assert [Path(str(result.video_path)).name for result in results] == ["a fox.mp4", "a fox_1.mp4"]
    assert all(result.frames is None and result.samples is None for result in results)
    assert streams(Path(str(results[0].video_path)).read_bytes()) == {"frames": 17, "size": (64, 64), "rate": 48000}


def test_prompts_of_a_list_give_a_result_each(generator: VideoGenerator) -> None:
    results = generator.generate(a_request(["a fox", "a hen"], num_frames=9))
    assert isinstance(results, list)
    assert [(result.prompt, result.prompt_index) for result in results] == [("a fox", 0), ("a hen", 1)]


def test_a_prompt_of_a_file_that_fails_is_left_out_unless_all_fail(generator: VideoGenerator, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a fox\n" + "x" * 5000 + "\n")
    request = a_request(None, num_frames=9)
    request.inputs = InputConfig(prompt_path=str(file))
    results = generator.generate(request)
    assert isinstance(results, list)
    assert [result.prompt for result in results] == ["a fox"]
    file.write_text("x" * 5000)
    with pytest.raises(LimitExceeded):
        generator.generate(request)


def test_a_failing_prompt_of_a_list_is_raised(generator: VideoGenerator) -> None:
    with pytest.raises(LimitExceeded):
        generator.generate(a_request(["a fox", "x" * 5000], num_frames=9))


async def test_async_events_come_in_order_and_end_with_the_whole_video(generator: VideoGenerator) -> None:
    events = await events_of(generator, a_request(output=OutputConfig(save_video=False, return_frames=False)))
    assert isinstance(events[0], VideoProgressEvent)
    assert (events[0].step, events[0].total_steps, events[0].stage) == (0, 2, "denoise")
    kinds = [type(event) for event in events]
    partials = kinds.count(VideoPartialEvent)
    assert kinds == [VideoProgressEvent] * 3 + [VideoPartialEvent] * partials + [VideoFinalEvent]
    final = events[-1]
    assert isinstance(final, VideoFinalEvent)
    assert final.video_bytes is not None
    assert streams(final.video_bytes) == {"frames": 17, "size": (64, 64), "rate": 48000}
    assert final.frames is None
    assert final.continuation_state is None
    assert final.result is not None
    assert {"generation_time", "inference_time_s", "peak_memory_mb", "video_path", "timings"} <= set(final.metadata)


async def test_async_has_one_final_per_prompt(generator: VideoGenerator, tmp_path: Path) -> None:
    output = OutputConfig(output_path=str(tmp_path), return_state=True)
    events = await events_of(generator, a_request(["a fox", "a hen"], num_frames=9, output=output))
    finals = [event for event in events if isinstance(event, VideoFinalEvent)]
    assert [final.result.prompt_index for final in finals if final.result] == [0, 1]
    assert [Path(final.metadata["video_path"]).name for final in finals] == ["a fox.mp4", "a hen.mp4"]
    assert all(final.continuation_state is not None for final in finals)
    assert len(finals[0].frames) == 9


async def test_async_errors_are_raised(generator: VideoGenerator) -> None:
    with pytest.raises(ConfigValidationError, match=r"sampling\.height"):
        await events_of(generator, a_request(height=100))


async def test_closing_an_async_generation_frees_the_generator_within_a_step(generator: VideoGenerator) -> None:
    request = a_request(num_inference_steps=8)
    async with contextlib.aclosing(generator.generate_async(request)) as events:
        async for event in events:
            if isinstance(event, VideoProgressEvent) and event.step == 1:
                break
    assert one(await asyncio.to_thread(generator.generate, a_request(num_frames=9))).size == (64, 64, 9)


async def test_cancelling_the_task_of_an_async_generation_frees_the_generator(generator: VideoGenerator) -> None:
    started = asyncio.Event()

    async def consume() -> None:
        async for _ in generator.generate_async(a_request(num_frames=121, num_inference_steps=8)):
            started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert one(await asyncio.to_thread(generator.generate, a_request(num_frames=9))).size == (64, 64, 9)


def test_stream_gives_every_frame_once_and_leaves_none_on_the_final(generator: VideoGenerator) -> None:
    events = list(generator.stream(a_request()))
    frames = np.concatenate([event.frames for event in events if isinstance(event, VideoPartialEvent)])
    assert np.array_equal(frames, np.stack(one(generator.generate(a_request())).frames))
    final = events[-1]
    assert isinstance(final, VideoFinalEvent)
    assert final.frames is None
    assert final.video_bytes is None
    assert final.continuation_state is not None


def test_a_cancelled_stream_ends_and_the_next_one_runs(generator: VideoGenerator) -> None:
    cancel = CancellationToken()
    events = generator.stream(a_request(), cancel=cancel)
    next(events)
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        list(events)
    assert list(generator.stream(a_request(num_frames=9)))


def test_a_whole_result_is_given_up_within_a_step_and_so_is_the_rest_of_a_prompt_file(
    generator: VideoGenerator, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\ntwo\n")
    request = a_request()
    request.prompt, request.inputs = None, InputConfig(prompt_path=str(prompts))
    for asked in (a_request(), request):
        cancel = CancellationToken()
        cancel.cancel()
        with pytest.raises(GenerationCancelled):
            generator.generate(asked, cancel=cancel)
    assert one(generator.generate(a_request(num_frames=9), cancel=CancellationToken())).size == (64, 64, 9)


def test_a_stream_that_is_dropped_gives_its_turn_back(generator: VideoGenerator) -> None:
    events = generator.stream(a_request())
    next(events)
    events.close()
    assert one(generator.generate(a_request(num_frames=9))).size == (64, 64, 9)


def test_waiting_for_a_turn_can_be_cancelled(generator: VideoGenerator) -> None:
    running = generator.stream(a_request())
    next(running)
    cancel = CancellationToken()
    cancel.cancel()
    with pytest.raises(GenerationCancelled):
        next(generator.stream(a_request(), cancel=cancel))
    running.close()


def test_two_threads_take_turns_and_get_what_they_would_have_got_alone(generator: VideoGenerator) -> None:
    alone = {seed: one(generator.generate(a_request(seed=seed))) for seed in (1, 2)}
    together: dict[int, GenerationResult] = {}

    def work(seed: int) -> None:
        together[seed] = one(generator.generate(a_request(seed=seed)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for seed in (1, 2):
        assert np.array_equal(np.stack(together[seed].frames), np.stack(alone[seed].frames))
        assert np.array_equal(together[seed].audio, alone[seed].audio)


def test_a_state_of_one_generator_continues_in_another(generator: VideoGenerator) -> None:
    state = one(generator.generate(a_request())).state
    assert state is not None
    stored = json.loads(json.dumps(config_to_dict(state)))
    request = a_request()
    request.state = ContinuationState(**stored)
    here = one(generator.generate(request))
    with VideoGenerator.from_config({"model_path": "tiny:?seed=0"}) as other:
        there = one(other.generate(request))
    assert here.size == (64, 64, 8)
    assert np.array_equal(np.stack(here.frames), np.stack(there.frames))
    assert np.array_equal(here.audio, there.audio)
    assert here.state == there.state


def test_a_state_of_an_unknown_kind_is_refused(generator: VideoGenerator) -> None:
    request = a_request()
    request.state = ContinuationState(kind="other.v1", payload={})
    with pytest.raises(StateInvalid, match=r"other\.v1"):
        generator.generate(request)


def test_the_pool_config_sets_the_overlap() -> None:
    pool = GpuPoolConfig(conditioning_num_frames=1)
    built = build_generator(GeneratorConfig(model_path="tiny:?seed=0"), pool=pool)
    assert isinstance(built, VideoGenerator)
    with built:
        request = a_request()
        request.state = one(built.generate(request)).state
        assert one(built.generate(request)).size == (64, 64, 16)


def test_the_operators_limits_are_the_generators() -> None:
    limits = RequestLimits(max_height_px=64)
    with VideoGenerator(GeneratorConfig(model_path="tiny:?seed=0"), limits=limits) as built:
        request = a_request()
        request.sampling.height = 96
        with pytest.raises(LimitExceeded, match=r"sampling\.height"):
            built.resolve(request)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"height": 4096}, "sampling.height"),
        ({"num_inference_steps": 10**9}, "sampling.num_inference_steps"),
        ({"num_frames": 10**6}, "sampling.num_frames"),
        ({"guidance_scale": 3.0}, "sampling.guidance_scale"),
        ({"seed": -1}, "sampling.seed"),
    ],
)
def test_values_out_of_bounds_are_refused_before_anything_runs(
    generator: VideoGenerator, changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        generator.resolve(a_request(**changes))
    assert caught.value.path == path


@pytest.mark.parametrize(("preset", "version"), [("ltx2_base", "2.0"), ("ltx2_3_base", "2.3")])
def test_a_base_preset_runs_guided_and_each_of_its_scales_counts(preset: str, version: str) -> None:
    config = parse_config(
        GeneratorConfig, {"model_path": f"tiny:?seed=0&version={version}", "pipeline": {"preset": preset}}
    )
    with VideoGenerator(config) as built:

        def made(**changes: Any) -> list[np.ndarray[Any, Any]]:
            overrides, sampling = changes.pop("overrides", {}), SMALL | changes.pop("sampling", {})
            request = GenerationRequest(
                prompt="a fox",
                sampling=SamplingConfig(**sampling),
                output=OutputConfig(save_video=False),
                stage_overrides={"denoise": overrides},
                **changes,
            )
            result = one(built.generate(request))
            assert result.size == (64, 64, 17)
            return [np.stack(result.frames), result.audio]

        assert built.resolve(a_request()).negative_prompt
        guided = made()
        weaker = [
            made(negative_prompt="a fox, a very sharp fox"),
            made(sampling={"guidance_scale": 1.5}),
            made(sampling={"guidance_rescale": 0.0}),
            *(made(overrides={name: 1.25}) for name in ("audio_guidance_scale", "stg_scale", "modality_scale")),
        ]
        for other in weaker:
            assert any(not np.array_equal(a, b) for a, b in zip(guided, other, strict=True))


def test_images_and_clips_at_frames_change_the_video_by_place_and_strength(generator: VideoGenerator) -> None:
    from PIL import Image

    from fastvideo.api import ReferenceConfig

    noise = np.random.default_rng(0).integers(0, 255, (9, 40, 50, 3), np.uint8)

    def made(**inputs: Any) -> np.ndarray[Any, Any]:
        request = a_request(num_frames=33)
        for name, value in inputs.items():
            setattr(request.inputs, name, value)
        return np.stack(one(generator.generate(request)).frames)

    variants = [
        made(),
        made(references=[ReferenceConfig(frames=noise)]),
        made(references=[ReferenceConfig(frames=noise, frame=8)]),
        made(references=[ReferenceConfig(frames=noise, frame=8, strength=0.5)]),
        made(last_image=Image.fromarray(noise[0])),
        made(pil_image=Image.fromarray(noise[0]), last_image=Image.fromarray(noise[1])),
    ]
    assert all(variant.shape == (33, 64, 64, 3) for variant in variants)
    assert not any(np.array_equal(a, b) for i, a in enumerate(variants) for b in variants[:i])


@pytest.fixture(scope="module")
def two_stages(cache: None) -> Iterator[VideoGenerator]:
    pipeline = {"preset": "ltx2_two_stage"}
    with VideoGenerator.from_config({"model_path": "tiny:?seed=0&version=2.3", "pipeline": pipeline}) as built:
        yield built


def test_two_stages_run_and_say_which_one_is_at_work(two_stages: VideoGenerator) -> None:
    request = a_request(height=128, width=64)
    request.stage_overrides = {"refine": {"num_inference_steps": 3}}
    events = list(two_stages.stream(request))
    progress = [(event.step, event.stage) for event in events if isinstance(event, VideoProgressEvent)]
    assert progress == [(0, "denoise"), (1, "denoise"), (2, "denoise"), *((step, "refine") for step in (3, 4, 5))]
    assert {event.total_steps for event in events if isinstance(event, VideoProgressEvent)} == {5}
    final = events[-1]
    assert isinstance(final, VideoFinalEvent)
    assert final.result is not None
    assert final.result.size == (128, 64, 17)
    assert final.metadata["timings"].keys() == {"text", "denoise", "refine", "decode", "state"}


def test_two_stages_continue_from_the_last_frames_at_both_sizes(two_stages: VideoGenerator) -> None:
    request = a_request(height=128, width=128, num_frames=33)
    first = one(two_stages.generate(request))
    request.state = first.state
    second = one(two_stages.generate(request))
    assert second.size == (128, 128, 24)
    # The difference on the last repeated frame is faded out, so the first new one follows it closely.
    step = np.abs(second.frames[0].astype(int) - first.frames[-1]).mean()
    request.state = None
    request.sampling.seed += 1
    unrelated = np.abs(one(two_stages.generate(request)).frames[0].astype(int) - first.frames[-1]).mean()
    assert step < 0.5 * unrelated


def test_each_override_of_the_refine_stage_changes_what_is_made(two_stages: VideoGenerator) -> None:
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    made = []
    for override in ({}, {"num_inference_steps": 3}, {"image_crf": 0}, {"video_position_offset_sec": 1.0}):
        request = a_request()
        request.inputs.pil_image = picture
        request.stage_overrides = {"refine": override}
        made.append(np.stack(one(two_stages.generate(request)).frames))
    assert all(not np.array_equal(made[0], other) for other in made[1:])


def test_a_model_as_trained_can_refine_what_it_made_with_guidance(cache: None, tmp_path: Path) -> None:
    pipeline = {
        "preset": "ltx2_base",
        "preset_overrides": {"refine": {"enabled": True}},
        "components": {"refine_lora_path": str(a_lora(tmp_path, 1))},
    }
    with VideoGenerator.from_config({"model_path": "tiny:?seed=0", "pipeline": pipeline}) as built:
        events = list(built.stream(a_request()))
    progress = [event for event in events if isinstance(event, VideoProgressEvent)]
    assert [event.stage for event in progress] == ["denoise"] * 3 + ["refine"] * 2


def a_lora(folder: Path, seed: int) -> Path:
    """An adapter of the tiny checkpoint's first block, strong enough to be seen."""
    from safetensors.torch import save_file

    noise = torch.Generator().manual_seed(seed)
    layer = "diffusion_model.transformer_blocks.0.ff.net.2"
    file = folder / f"lora{seed}.safetensors"
    save_file(
        {
            f"{layer}.lora_A.weight": 0.3 * torch.randn((2, 512), generator=noise),
            f"{layer}.lora_B.weight": torch.randn((128, 2), generator=noise),
        },
        str(file),
    )
    return file


def test_adapters_are_merged_swapped_and_taken_out_again_between_generations(
    generator: VideoGenerator, tmp_path: Path
) -> None:
    def made() -> np.ndarray[Any, Any]:
        return np.stack(one(generator.generate(a_request())).frames)

    plain = made()
    generator.set_lora_adapter("first", a_lora(tmp_path, 1))
    first = made()
    generator.set_lora_adapter("second", a_lora(tmp_path, 2), strength=0.5, accumulate=True)
    both = made()
    generator.set_lora_adapter("first")
    assert np.array_equal(made(), first)
    generator.unmerge_lora_weights()
    assert np.array_equal(made(), plain)
    generator.merge_lora_weights()
    assert np.array_equal(made(), first)
    generator.unmerge_lora_weights()
    assert not any(np.array_equal(a, b) for a, b in ((plain, first), (first, both), (plain, both)))
    with pytest.raises(ConfigValidationError, match="no LoRA 'third' was loaded"):
        generator.set_lora_adapter("third")


def test_configured_adapters_work_in_all_stages_or_in_the_refine_stage_alone(
    two_stages: VideoGenerator, tmp_path: Path
) -> None:
    made = [np.stack(one(two_stages.generate(a_request())).frames)]
    for components in (
        {"lora_path": str(a_lora(tmp_path, 1))},
        {"refine_lora_path": str(a_lora(tmp_path, 1))},
        {"refine_lora_path": str(a_lora(tmp_path, 1)), "refine_lora_strength": 0.5},
    ):
        config = {"preset": "ltx2_two_stage", "components": components}
        with VideoGenerator.from_config({"model_path": "tiny:?seed=0&version=2.3", "pipeline": config}) as built:
            made.append(np.stack(one(built.generate(a_request())).frames))
            assert np.array_equal(np.stack(one(built.generate(a_request())).frames), made[-1])
    assert all(not np.array_equal(a, b) for i, a in enumerate(made) for b in made[:i])


def test_a_refine_stage_needs_an_upsampler_and_a_single_stage_refuses_one(cache: None, tmp_path: Path) -> None:
    from fastvideo.entrypoints.model_path import local_checkpoint

    lonely = tmp_path / "tiny.safetensors"
    lonely.symlink_to(local_checkpoint("tiny:?seed=0"))
    config = {"model_path": str(lonely), "pipeline": {"preset": "ltx2_two_stage"}}
    with pytest.raises(ConfigValidationError, match="found there: none") as caught:
        VideoGenerator.from_config(config)
    assert caught.value.path == "pipeline.components.upsampler_weights"
    components = {"components": {"upsampler_weights": "x.safetensors"}}
    with pytest.raises(ConfigValidationError, match="has one stage"):
        VideoGenerator.from_config({"model_path": "tiny:?seed=0", "pipeline": components})


def test_stages_that_the_preset_does_not_have_are_refused(generator: VideoGenerator) -> None:
    request = a_request()
    request.stage_overrides = {"refine": {"num_inference_steps": 2}}
    with pytest.raises(ConfigValidationError, match=r"stage_overrides\.refine"):
        generator.generate(request)


def test_the_health_check_request_survives_its_own_mapping_and_runs(generator: VideoGenerator) -> None:
    request = VideoGenerator.default_health_check_request()
    assert parse_config(GenerationRequest, config_to_dict(request)) == request
    assert (request.prompt, request.sampling.num_frames) == ("health check", 8)
    result = one(generator.generate(request))
    assert result.size == (256, 256, 9)
    assert result.frames is None


def test_a_mapping_is_as_good_as_a_request(generator: VideoGenerator) -> None:
    mapping = {"prompt": "a fox", "sampling": SMALL, "output": {"save_video": False}}
    assert one(generator.generate(mapping)).size == (64, 64, 17)
    with pytest.raises(ConfigValidationError, match="sampling"):
        generator.generate({"prompt": "a fox", "sampling": {"sede": 1}})


def test_generate_video_is_deprecated_and_flat(generator: VideoGenerator, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="use generate"):
        flat = generator.generate_video("a fox", neg_prompt="rain", output_path=str(tmp_path), **SMALL)
    assert isinstance(flat, dict)
    assert flat["prompts"] == "a fox"
    assert flat["size"] == (64, 64, 17)
    with pytest.warns(DeprecationWarning, match="use generate"), pytest.raises(TypeError, match="callback"):
        generator.generate_video("a fox", callback=print)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((), {}, "needs a model_path"),
        (("tiny:",), {"config": GeneratorConfig(model_path="tiny:")}, "not both"),
        ((), {"config": GeneratorConfig(model_path="tiny:"), "num_gpus": 1}, "num_gpus"),
        ((GeneratorConfig(model_path="tiny:"),), {"num_gpus": 1}, "num_gpus"),
        (("tiny:",), {"ltx2_vae_tiling": True}, r"pipeline\.vae_tiling"),
    ],
)
def test_from_pretrained_takes_one_form_at_a_time(arguments: Any, keywords: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        VideoGenerator.from_pretrained(*arguments, **keywords)


def test_settings_that_cannot_be_honoured_are_refused_before_loading() -> None:
    with pytest.raises(ConfigValidationError) as caught:
        VideoGenerator.from_pretrained("/no/such/model", tp_size=2)
    assert caught.value.path == "engine.parallelism.tp_size"


@pytest.mark.parametrize(
    ("name", "content", "overrides"),
    [
        ("generator.yaml", "model_path: 'tiny:?seed=0'", None),
        ("generator.yaml", "model_path: 'tiny:?seed=9'", ["--generator.model_path", "tiny:?seed=0"]),
        ("run.json", '{"generator": {"model_path": "tiny:?seed=9"}, "request": {}}', {"model_path": "tiny:?seed=0"}),
        ("serve.yml", "generator: {model_path: 'tiny:?seed=0'}\nserver: {port: 1}", None),
    ],
)
def test_from_file_reads_generator_run_and_serve_files(tmp_path: Path, name: str, content: str, overrides: Any) -> None:
    (tmp_path / name).write_text(content)
    with VideoGenerator.from_file(tmp_path / name, overrides) as built:
        assert built.config == GeneratorConfig(model_path="tiny:?seed=0")
        assert built.model_id == "tiny-ltx2"


def test_shutdown_is_idempotent_and_final() -> None:
    built = VideoGenerator.from_pretrained("tiny:?seed=0")
    built.shutdown()
    built.shutdown()
    with pytest.raises(GenerationFailed, match="shut down"):
        built.generate(a_request())


def test_shutdown_cancels_what_runs() -> None:
    built = VideoGenerator.from_pretrained("tiny:?seed=0")
    cancel = CancellationToken()
    events = built.stream(a_request(num_frames=121), cancel=cancel)
    next(events)
    stopper = threading.Thread(target=built.shutdown)
    stopper.start()
    assert cancel.wait(30)
    with pytest.raises(GenerationCancelled):
        next(events)
    stopper.join(60)
    assert not stopper.is_alive()


def test_the_name_is_there_without_torch() -> None:
    program = (
        "import sys, fastvideo; fastvideo.VideoGenerator.default_health_check_request();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'av', 'fastapi')))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_the_package_has_no_other_names() -> None:
    import fastvideo

    with pytest.raises(AttributeError, match="nothing"):
        _ = fastvideo.nothing

"""The contract with NVIDIA Dynamo: what its adapter may import, sends, gets, and may rely on. Runs without Dynamo."""

from __future__ import annotations

import ast
import asyncio
import base64
import inspect
import io
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastvideo_dynamo import handler as adapter
from fastvideo_dynamo.args import parse_args
from fastvideo_dynamo.frontend import STATE_FORMAT, for_frontend, frontend_chunk
from fastvideo_dynamo.handler import Handler, Settings
from fastvideo_dynamo.health_check import health_check_payload
from fastvideo_dynamo.protocol import nv_request_to_generation_request
from PIL import Image

import fastvideo
import fastvideo.api as api
from fastvideo import VideoGenerator
from fastvideo.api import (
    ConfigValidationError,
    ContinuationState,
    FastVideoError,
    GenerationCancelled,
    GenerationFailed,
    GenerationRequest,
    GeneratorConfig,
    ImageInvalid,
    LimitExceeded,
    SamplingConfig,
    StateInvalid,
    VideoEvent,
    VideoFinalEvent,
    VideoPartialEvent,
    VideoProgressEvent,
    config_to_dict,
    get_explicit_paths,
    parse_config,
)

ADAPTER = Path(adapter.__file__).parent
STATE = {"kind": "ltx2.v1", "payload": {"schema_version": 1, "segment_index": 3, "metadata": {"fps": 24}}}
# Beside the contracts, these are all that an adapter may use.
PUBLIC = {"fastvideo": set(fastvideo.__all__), "fastvideo.api": set(api.__all__)}


def private_uses(source: str) -> list[str]:
    """What of a module's is not the public surface: a sentence for each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(level=level) if level:
                found.append("imports relatively")
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "fastvideo":
                allowed = PUBLIC.get(module, set())
                found += [f"imports {module}.{alias.name}" for alias in names if alias.name not in allowed]
            case ast.Import(names=names):
                found += [f"imports {alias.name}" for alias in names if alias.name.partition(".")[0] == "fastvideo"]
                found += [f"imports {alias.name}" for alias in names if alias.name.partition(".")[0] == "importlib"]
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] == "importlib":
                found.append(f"imports {module}")
            case ast.Name(id="__import__"):
                found.append("calls __import__")
            case ast.Attribute(value=ast.Name(id="self"), attr=str(name)):
                pass
            case ast.Attribute(attr=str(name)) if name.startswith("_") and name != "__init__":
                # What a class keeps for itself is reached by its own methods alone.
                found.append(f"reaches into {ast.unparse(node)}")
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)) if name.startswith("ltx2_"):
                found.append(f"passes {name}")
    return found


class FakeContext:
    """Dynamo's context, as far as it is used."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    def id(self) -> str:
        return "request-1"

    async def async_killed_or_stopped(self) -> bool:
        return await self.stopped.wait()


class FakeGenerator:
    """Two steps, one chunk of frames, one video; gives back the state that it got. ``gate``: it waits there once."""

    def __init__(self, *, gate: asyncio.Event | None = None, events: list[VideoEvent] | None = None) -> None:
        self.requests: list[GenerationRequest] = []
        self.running = self.most_running = self.closed = 0
        self._gate = gate
        self._events = events

    async def generate_async(self, request: GenerationRequest) -> AsyncGenerator[VideoEvent, None]:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for event in self._events if self._events is not None else self._usual(request):
                yield event
                if self._gate is not None:
                    await self._gate.wait()
        finally:
            self.running -= 1
            self.closed += 1

    def _usual(self, request: GenerationRequest) -> Iterator[VideoEvent]:
        yield from (VideoProgressEvent(step, 2) for step in range(3))
        yield VideoPartialEvent(np.zeros((5, 4, 4, 3), np.uint8), 0)
        metadata = {"inference_time_s": 1.5, "generation_time": 1.5}
        yield VideoFinalEvent(video_bytes=b"the video", metadata=metadata, continuation_state=request.state)


def a_handler(generator: Any = None, **settings: Any) -> Handler:
    kept: list[bytes] = []

    def deliver(video: bytes) -> str:
        kept.append(video)
        return f"http://results/{len(kept)}.mp4"

    return Handler(generator or FakeGenerator(), Settings("a-model", **settings), deliver)


async def chunks_of(handler: Handler, request: Mapping[str, Any], context: Any = None) -> list[dict[str, Any]]:
    return [chunk async for chunk in handler.generate(request, context)]


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not told():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0)


def check_order(events: list[VideoEvent]) -> None:
    """Progress from 0 on, then partials numbered from 0, then exactly one Final."""
    kinds = [type(event) for event in events]
    first_partial = next((i for i, kind in enumerate(kinds) if kind is VideoPartialEvent), len(kinds) - 1)
    assert kinds[:first_partial] == [VideoProgressEvent] * first_partial
    assert kinds[first_partial:-1] == [VideoPartialEvent] * (len(kinds) - 1 - first_partial)
    assert kinds[-1] is VideoFinalEvent
    steps = [event for event in events if isinstance(event, VideoProgressEvent)]
    assert (steps[0].step, steps[0].stage) == (0, "denoise")
    assert steps[0].total_steps >= 1
    assert [event.index for event in events if isinstance(event, VideoPartialEvent)] == list(
        range(len(kinds) - 1 - first_partial)
    )


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


class TestNoInternalImports:
    @pytest.mark.parametrize("path", sorted(ADAPTER.glob("*.py")), ids=lambda path: path.name)
    def test_the_adapter_uses_the_public_surface_alone(self, path: Path) -> None:
        assert private_uses(path.read_text(encoding="utf-8")) == []

    @pytest.mark.parametrize(
        "source",
        [
            "import fastvideo",
            "import fastvideo.pipelines.basic.ltx2.pipeline",
            "from fastvideo import entrypoints",
            "from fastvideo.pipelines.basic.ltx2.continuation import LTX2ContinuationState",
            "from fastvideo.entrypoints.video_generator import VideoGenerator",
            "from fastvideo.configs import anything",
            "from fastvideo.fastvideo_args import FastVideoArgs",
            *(f"from fastvideo.api.{name} import anything" for name in ("compat", "parser", "overrides", "errors")),
            *(
                f"from fastvideo.api.{name} import anything"
                for name in ("request_metadata", "sampling_param", "schema")
            ),
            "from fastvideo.api import parser",
            "from . import anything",
            "import importlib",
            "from importlib import import_module",
            "__import__('fastvideo')",
            "generator._pipeline.stream()",
            "generator.generate_async(request, ltx2_cfg_scale_video=3.0)",
            "kwargs['ltx2_images'] = []",
        ],
    )
    def test_each_way_into_the_package_would_be_found(self, source: str) -> None:
        assert private_uses(source)

    def test_what_needs_no_runtime_imports_neither_dynamo_nor_torch(self) -> None:
        code = (
            "import sys, fastvideo_dynamo.args, fastvideo_dynamo.frontend, fastvideo_dynamo.handler\n"
            "from fastvideo.api import *\n"
            "assert not {'torch', 'dynamo', 'av'} & set(sys.modules)"
        )
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ADAPTER.parent)!r})\n{code}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def test_the_names_of_the_contract_are_public(self) -> None:
        contract = (
            "ContinuationState GenerationRequest InputConfig OutputConfig SamplingConfig VideoEvent VideoProgressEvent "
            "VideoPartialEvent VideoFinalEvent VideoResult config_to_dict GeneratorConfig EngineConfig "
            "ParallelismConfig OffloadConfig CompileConfig PipelineSelection ComponentConfig"
        )
        assert set(contract.split()) <= PUBLIC["fastvideo.api"]

    def test_the_fields_that_adapters_set_keep_their_places(self) -> None:
        raw = {
            "prompt": "a fox",
            "negative_prompt": "rain",
            "inputs": {"image_path": "a.png", "video_path": "a.mp4"},
            "sampling": {"width": 64, "height": 64, "num_frames": 9, "fps": 24, "num_inference_steps": 2, "seed": 1}
            | {"guidance_scale": 1.0, "true_cfg_scale": 1.0},
            "output": {"save_video": False, "return_frames": False, "return_state": True},
            "state": STATE,
        }
        assert parse_config(GenerationRequest, raw).state == ContinuationState(**STATE)


class TestRequestMapping:
    @pytest.mark.parametrize(
        ("asked", "path", "value"),
        [
            ({}, "sampling.fps", 24),
            ({"nvext": {"fps": None}}, "sampling.fps", 24),
            ({"nvext": {"fps": 30}}, "sampling.fps", 30),
            ({}, "sampling.num_frames", 96),
            ({"seconds": 2}, "sampling.num_frames", 48),
            ({"seconds": 2, "nvext": {"fps": 30}}, "sampling.num_frames", 60),
            ({"seconds": 2, "nvext": {"num_frames": 17}}, "sampling.num_frames", 17),
            ({}, "sampling.num_inference_steps", 50),
            ({"nvext": {"num_inference_steps": 8}}, "sampling.num_inference_steps", 8),
            ({}, "sampling.guidance_scale", 1.0),
            ({"nvext": {"guidance_scale": 3}}, "sampling.guidance_scale", 3.0),
            ({"nvext": {"true_cfg_scale": 1.0}}, "sampling.true_cfg_scale", 1.0),
            ({}, "sampling.seed", 1024),
            ({"nvext": {"seed": 7}}, "sampling.seed", 7),
            ({"seed": 5}, "sampling.seed", 5),
            ({"seed": 5, "nvext": {"seed": 7}}, "sampling.seed", 7),
            ({"seed": 5, "nvext": {"seed": None}}, "sampling.seed", 5),
            ({"extra_args": {"media_passthrough": {"seed": 9}}}, "sampling.seed", 9),
            ({"nvext": {"negative_prompt": "rain"}}, "negative_prompt", "rain"),
            ({}, "negative_prompt", None),
            ({"size": "832x480"}, "sampling.width", 832),
            ({"size": "832x480"}, "sampling.height", 480),
            ({"nvext": {"continuation_state": STATE}}, "state.kind", "ltx2.v1"),
            ({"continuation_state": STATE}, "state.payload", STATE["payload"]),
            ({}, "state", None),
            ({}, "output.save_video", False),
            ({}, "output.return_frames", False),
            ({}, "output.return_state", False),
            ({"return_state": True}, "output.return_state", True),
            ({"nvext": {"continuation_state": STATE}}, "output.return_state", True),
        ],
    )
    def test_a_field_arrives_where_it_belongs(self, asked: dict[str, Any], path: str, value: Any) -> None:
        found: Any = nv_request_to_generation_request({"prompt": "a fox", "model": "m", **asked})
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value

    @pytest.mark.parametrize("size", [None, "", "auto", "512", "axb", "-1x5", "1x2x3", 512])
    def test_an_absent_or_malformed_size_is_left_to_the_preset(self, size: Any) -> None:
        request = nv_request_to_generation_request({"prompt": "a fox", "size": size})
        assert not {"sampling.width", "sampling.height"} & get_explicit_paths(request)

    def test_what_a_client_does_not_set_stays_unset(self) -> None:
        explicit = get_explicit_paths(nv_request_to_generation_request({"prompt": "a fox"}))
        assert {path for path in explicit if path.startswith("sampling")} == {"sampling.num_frames"}
        assert "negative_prompt" not in explicit

    def test_the_operators_length_and_rate_hold_where_the_client_says_nothing(self) -> None:
        def frames(default: SamplingConfig, **asked: Any) -> int:
            operator = GenerationRequest(sampling=default)
            made = nv_request_to_generation_request({"prompt": "a fox", **asked}, default_request=operator)
            return api.resolve_request(made, default_request=operator).sampling.num_frames

        assert frames(SamplingConfig(num_frames=57)) == 57
        assert frames(SamplingConfig(num_frames=57), seconds=1) == 24
        assert frames(SamplingConfig(fps=12), seconds=1) == 12
        assert frames(SamplingConfig(fps=12)) == 48

    def test_an_image_comes_by_value(self) -> None:
        url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
        for upload in (url, png()):
            request = nv_request_to_generation_request({"prompt": "a fox", "input_reference": upload})
            assert request.inputs.pil_image.getpixel((0, 0)) == (200, 30, 30)
            assert request.inputs.image_path is None

    @pytest.mark.parametrize("reference", ["/etc/passwd", "../a.png", "file:///a.png", "http://127.0.0.1:1/a.png", "a"])
    def test_no_path_is_opened_and_nothing_is_fetched(self, reference: str) -> None:
        with pytest.raises(ImageInvalid, match="nothing is fetched"):
            nv_request_to_generation_request({"prompt": "a fox", "input_reference": reference})

    @pytest.mark.parametrize(
        ("asked", "error", "words"),
        [
            ({"prompt": None}, ConfigValidationError, "prompt"),
            ({"prompt": " "}, ConfigValidationError, "prompt"),
            ({"prompt": ["a", "b"]}, ConfigValidationError, "prompt"),
            ({"nvext": 1}, ConfigValidationError, "nvext"),
            ({"nvext": {"seed": "7"}}, ConfigValidationError, "sampling.seed"),
            ({"nvext": {"num_frames": True}}, ConfigValidationError, "sampling.num_frames"),
            ({"nvext": {"fps": float("nan")}}, ConfigValidationError, "fps"),
            ({"seconds": 0}, ConfigValidationError, "seconds"),
            ({"seconds": 1e30}, ConfigValidationError, "seconds"),
            ({"seconds": "4"}, ConfigValidationError, "seconds"),
            ({"input_reference": 5}, ConfigValidationError, "input_reference"),
            ({"continuation_state": "x"}, StateInvalid, "kind and payload"),
            ({"continuation_state": {"kind": "ltx2.v1"}}, StateInvalid, "kind and payload"),
            ({"continuation_state": {**STATE, "more": 1}}, StateInvalid, "kind and payload"),
            ({"continuation_state": {"kind": "nobody's", "payload": {}}}, StateInvalid, "known kinds: ltx2.v1"),
            ({"continuation_state": {"kind": "ltx2.v1", "payload": {"x": "y" * 40_000_001}}}, StateInvalid, "at most"),
        ],
    )
    def test_what_is_wrong_is_refused_with_its_place(
        self, asked: dict[str, Any], error: type[FastVideoError], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            nv_request_to_generation_request({"prompt": "a fox", **asked})


class TestDynamoHandlerContract:
    async def test_it_is_an_async_generator_of_one_chunk(self) -> None:
        handler = a_handler()
        assert inspect.isasyncgenfunction(handler.generate)
        assert list(inspect.signature(handler.generate).parameters) == ["request", "context"]
        (chunk,) = await chunks_of(handler, {"prompt": "a fox", "response_format": "b64_json"}, FakeContext())
        assert base64.b64decode(chunk["data"][0]["b64_json"]) == b"the video"
        assert (chunk["id"], chunk["model"], chunk["status"]) == ("request-1", "a-model", "completed")
        assert chunk["inference_time_s"] >= 0
        assert chunk["nvext"] == {"continuation_state": None}
        json.dumps(chunk)

    async def test_a_url_is_that_of_the_kept_video(self) -> None:
        (chunk,) = await chunks_of(a_handler(), {"prompt": "a fox", "model": "theirs"})
        assert chunk["data"] == [{"url": "http://results/1.mp4", "output_format": "mp4"}]
        assert chunk["model"] == "theirs"

    async def test_nothing_is_kept_of_a_video_that_travels_inline(self) -> None:
        def deliver(_: bytes) -> str:
            raise AssertionError

        handler = Handler(FakeGenerator(), Settings("m"), deliver)
        assert len(await chunks_of(handler, {"prompt": "a fox", "response_format": "b64_json"})) == 1

    async def test_a_stream_tells_its_progress_and_ends_with_the_video(self) -> None:
        chunks = await chunks_of(a_handler(), {"prompt": "a fox", "stream": True})
        assert [(chunk["status"], chunk["progress"]) for chunk in chunks] == [
            *(("generating", share) for share in (0.0, 0.5, 1.0, 1.0)),
            ("completed", 1.0),
        ]
        assert chunks[3]["partial"] == {"index": 0, "frames": 5}
        assert [bool(chunk["data"]) for chunk in chunks] == [False, False, False, False, True]
        assert len({chunk["id"] for chunk in chunks}) == 1
        assert chunks[-1]["inference_time_s"] == 1.5

    @pytest.mark.parametrize("streams", [False, True])
    async def test_a_state_comes_back_as_it_went_in(self, streams: bool) -> None:
        asked = {"prompt": "a fox", "stream": streams, "nvext": {"continuation_state": STATE}}
        generator = FakeGenerator()
        for request in (asked, json.loads(json.dumps(asked))):
            chunk = (await chunks_of(a_handler(generator), request))[-1]
            assert json.loads(json.dumps(chunk))["nvext"]["continuation_state"] == STATE
        assert [request.state for request in generator.requests] == [ContinuationState(**STATE)] * 2

    @pytest.mark.parametrize("asked", [{"continuation_state": {"kind": "x", "payload": {}}}, {"size": "99999x64"}])
    async def test_what_is_refused_never_reaches_the_generator_and_waits_for_nobody(self, asked: Any) -> None:
        gate = asyncio.Event()
        generator = FakeGenerator(gate=gate)
        handler = a_handler(generator)
        first = asyncio.create_task(chunks_of(handler, {"prompt": "a fox"}))
        await until(lambda: generator.running == 1)
        with pytest.raises((StateInvalid, LimitExceeded)):
            await chunks_of(handler, {"prompt": "a fox", **asked})
        gate.set()
        assert len(await first) == 1
        assert len(generator.requests) == 1

    async def test_an_error_is_raised_and_no_last_chunk_comes(self) -> None:
        class Failing(FakeGenerator):
            async def generate_async(self, request: GenerationRequest) -> AsyncGenerator[VideoEvent, None]:
                yield VideoProgressEvent(0, 2)
                raise GenerationFailed("no")

        seen = []
        with pytest.raises(GenerationFailed):
            async for chunk in a_handler(Failing()).generate({"prompt": "a fox", "stream": True}):
                seen.append(chunk["status"])
        assert seen == ["generating"]

    @pytest.mark.parametrize(
        "events",
        [
            [VideoProgressEvent(0, 1)],
            [VideoFinalEvent()],
            [VideoFinalEvent(video_bytes=b"one"), VideoFinalEvent(video_bytes=b"two")],
            [VideoFinalEvent(video_bytes=b"one"), VideoProgressEvent(1, 1)],
        ],
        ids=["no final", "no video", "two finals", "progress after the final"],
    )
    async def test_events_out_of_order_are_no_video(self, events: list[VideoEvent]) -> None:
        with pytest.raises(GenerationFailed):
            await chunks_of(a_handler(FakeGenerator(events=events)), {"prompt": "a fox"})

    async def test_videos_are_made_one_at_a_time_and_in_turn(self) -> None:
        gate = asyncio.Event()
        generator = FakeGenerator(gate=gate)
        handler = a_handler(generator)
        calls = [asyncio.create_task(chunks_of(handler, {"prompt": f"fox {index}"})) for index in range(4)]
        await until(lambda: generator.running == 1)
        gate.set()
        await asyncio.gather(*calls)
        assert generator.most_running == 1
        assert [request.prompt for request in generator.requests] == [f"fox {index}" for index in range(4)]

    async def test_one_more_than_may_wait_is_told_to_come_later(self) -> None:
        gate = asyncio.Event()
        generator = FakeGenerator(gate=gate)
        handler = a_handler(generator, max_waiting=1)
        first = asyncio.create_task(chunks_of(handler, {"prompt": "a fox"}))
        await until(lambda: generator.running == 1)
        second = asyncio.create_task(chunks_of(handler, {"prompt": "a hen"}))
        await until(lambda: handler.waiting == 1)
        with pytest.raises(adapter.Busy) as told:
            await chunks_of(handler, {"prompt": "a cow"})
        assert told.value.retryable
        gate.set()
        assert len(await first) == len(await second) == 1

    @pytest.mark.parametrize("stopped_while", ["running", "waiting"])
    async def test_a_client_that_leaves_gives_its_turn_back(self, stopped_while: str) -> None:
        gate = asyncio.Event()
        generator = FakeGenerator(gate=gate)
        handler = a_handler(generator)
        contexts = [FakeContext(), FakeContext()]
        calls = []
        for context in contexts:
            calls.append(asyncio.create_task(chunks_of(handler, {"prompt": "a fox"}, context)))
            await until(lambda: generator.running + handler.waiting == len(calls))
        leaving, staying = (0, 1) if stopped_while == "running" else (1, 0)
        contexts[leaving].stopped.set()
        with pytest.raises(GenerationCancelled):
            await calls[leaving]
        gate.set()
        assert len(await calls[staying]) == 1
        assert generator.running == 0
        assert generator.closed == len(generator.requests) == (2 if stopped_while == "running" else 1)

    async def test_a_caller_that_stops_listening_ends_the_generation(self) -> None:
        generator = FakeGenerator()
        chunks = a_handler(generator).generate({"prompt": "a fox", "stream": True})
        await anext(chunks)
        assert generator.running == 1
        await chunks.aclose()
        assert generator.running == 0

    async def test_the_operators_defaults_lie_under_what_a_client_sets(self) -> None:
        generator = FakeGenerator()
        operator = GenerationRequest(negative_prompt="rain", sampling=SamplingConfig(width=64, height=64, seed=3))
        await chunks_of(a_handler(generator, default_request=operator), {"prompt": "a fox", "seed": 8})
        (made,) = generator.requests
        assert (made.negative_prompt, made.sampling.width, made.sampling.seed) == ("rain", 64, 8)

    async def test_the_frontend_gets_whole_percents_and_the_state_where_it_lets_it_through(self) -> None:
        asked = {"prompt": "a fox", "stream": True, "response_format": "b64_json", "continuation_state": STATE}
        chunks = [chunk async for chunk in for_frontend(a_handler().generate)(asked, FakeContext())]
        assert [chunk["progress"] for chunk in chunks] == [0, 50, 99, 99, 100]
        assert all(isinstance(chunk["progress"], int) for chunk in chunks)
        assert all(chunk.keys() >= {"id", "created", "model"} for chunk in chunks)
        video, state = chunks[-1]["data"]
        assert (video["output_format"], state["output_format"]) == ("mp4", STATE_FORMAT)
        assert json.loads(base64.b64decode(state["b64_json"])) == STATE
        assert all("nvext" not in chunk for chunk in chunks)
        plain = (await chunks_of(a_handler(), {"prompt": "a fox"}))[0]
        assert len(frontend_chunk(plain)["data"]) == 1


@pytest.fixture(scope="module")
def generator() -> Iterator[VideoGenerator]:
    with VideoGenerator.from_pretrained(GeneratorConfig(model_path="embedded:")) as built:
        yield built


class TestGenerator:
    """What the adapter relies on, of the generator itself."""

    async def test_events_come_in_order_with_one_final_that_has_the_video(self, generator: VideoGenerator) -> None:
        request = nv_request_to_generation_request(
            {"prompt": "a fox", "size": "64x64", "nvext": {"num_frames": 17, "num_inference_steps": 2}}
        )
        events = [event async for event in generator.generate_async(request)]
        check_order(events)
        final = events[-1]
        assert isinstance(final, VideoFinalEvent)
        assert final.video_bytes is not None
        assert final.video_bytes[4:8] == b"ftyp"
        assert final.metadata["inference_time_s"] == final.metadata["generation_time"] > 0
        assert final.continuation_state is None
        assert final.frames is final.tensor is None

    def test_an_order_that_is_broken_would_be_found(self) -> None:
        step, part, final = VideoProgressEvent(0, 1), VideoPartialEvent(np.zeros((1, 4, 4, 3)), 0), VideoFinalEvent()
        check_order([step, part, final])
        for broken in (
            [part, step, final],
            [step, final, part],
            [step, part, final, final],
            [step, part],
            [VideoProgressEvent(1, 2), final],
            [step, VideoPartialEvent(part.frames, 1), final],
        ):
            with pytest.raises(AssertionError):
                check_order(broken)

    async def test_a_state_goes_through_json_into_the_next_video(self, generator: VideoGenerator) -> None:
        handler = a_handler(generator)
        asked: dict[str, Any] = {
            "prompt": "a fox",
            "size": "64x64",
            "return_state": True,
            "nvext": {"num_frames": 17, "num_inference_steps": 1},
        }
        (first,) = await chunks_of(handler, asked)
        state = json.loads(json.dumps(first))["nvext"]["continuation_state"]
        assert state["kind"] == "ltx2.v1"
        asked["nvext"]["continuation_state"] = state
        (second,) = await chunks_of(handler, asked)
        following = second["nvext"]["continuation_state"]
        assert following["payload"]["segment_index"] == state["payload"]["segment_index"] + 1
        state["payload"]["video"]["frames_b64"][0] = "AAAA"
        with pytest.raises(StateInvalid):
            await chunks_of(handler, asked)

    def test_the_health_request_is_bounded_and_writes_nothing(self) -> None:
        request = VideoGenerator.default_health_check_request()
        sampling = request.sampling
        assert (sampling.width, sampling.height, sampling.fps, sampling.guidance_scale) == (256, 256, 24, 1.0)
        assert sampling.num_frames <= 8
        assert sampling.num_inference_steps == 1
        assert sampling.num_videos_per_prompt == 1
        assert request.output.save_video is request.output.return_frames is request.output.return_state is False
        assert request.state is request.plan is request.inputs.image_path is None
        raw = config_to_dict(request)
        json.dumps(raw)
        assert parse_config(GenerationRequest, raw) == request

    async def test_the_health_payload_is_that_request_and_makes_a_video(self, generator: VideoGenerator) -> None:
        payload = health_check_payload("a-model")
        assert json.loads(json.dumps(payload)) == {
            "prompt": "health check",
            "model": "a-model",
            "size": "256x256",
            "response_format": "b64_json",
            "nvext": {"fps": 24, "num_frames": 8, "num_inference_steps": 1, "guidance_scale": 1.0},
        }
        assert nv_request_to_generation_request(payload) == VideoGenerator.default_health_check_request()
        (chunk,) = await chunks_of(a_handler(generator), payload)
        assert base64.b64decode(chunk["data"][0]["b64_json"])[4:8] == b"ftyp"


class TestArguments:
    def test_flags_make_a_typed_configuration(self) -> None:
        flags = "--model-path m.safetensors --num-gpus 2 --tp-size 1 --sp-size 2 --no-dit-cpu-offload"
        more = "--no-text-encoder-cpu-offload --enable-torch-compile --torch-compile-mode max-autotune"
        rest = "--preset ltx2_two_stage --upsampler-path up --lora-path lora"
        config = parse_args(f"{flags} {more} {rest}".split()).serve.generator
        assert (config.engine.num_gpus, config.engine.parallelism.tp_size, config.engine.parallelism.sp_size) == (
            2,
            1,
            2,
        )
        assert config.engine.offload.dit is config.engine.offload.text_encoder is False
        assert (config.engine.compile.enabled, config.engine.compile.mode) == (True, "max-autotune")
        assert (config.pipeline.workload_type, config.pipeline.preset) == ("t2v", "ltx2_two_stage")
        components = config.pipeline.components
        assert (components.upsampler_weights, components.lora_path) == ("up", "lora")
        json.dumps(config_to_dict(config))
        assert parse_config(GeneratorConfig, config_to_dict(config)) == config

    def test_flags_that_are_not_given_leave_the_defaults(self) -> None:
        config = parse_args(["--model-path", "embedded:"]).serve.generator
        config.pipeline.workload_type = None
        assert config == GeneratorConfig(model_path="embedded:")

    def test_a_serve_file_gives_the_operators_settings(self) -> None:
        arguments = parse_args(["--config", "configs/serve_embedded.yaml", "--endpoint", "a.b.c"])
        assert arguments.serve.generator.model_path == "embedded:"
        assert arguments.serve.default_request.sampling.num_frames == 57
        assert arguments.frontend_endpoint == "a.b.c_frontend"
        assert arguments.results_url == "http://127.0.0.1:8090"

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "--model-path m --config c.yaml",
            "--model-path m --endpoint a.b",
            "--model-path m --endpoint a..c",
            "--model-path m --results-address 8090",
            "--model-path m --results-address h:0",
        ],
    )
    def test_a_wrong_command_line_is_told(self, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            parse_args(wrong.split())
        assert ended.value.code == 2
        assert "error:" in capsys.readouterr().err

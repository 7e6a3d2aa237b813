"""The text of the next segment, encoded while this one is made."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fastvideo.api.results import VideoEvent, VideoFinalEvent, VideoPartialEvent, VideoProgressEvent
from fastvideo.api.schema import GenerationRequest, OutputConfig, SamplingConfig
from fastvideo.models.ltx2.loader import LTX2Components
from fastvideo.pipelines.basic.ltx2.pipeline import LTX2Pipeline
from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig
from fastvideo.pipelines.basic.ltx2.placement import Placement
from fastvideo.pipelines.basic.ltx2.recipe import LTX2Recipe


class Watched:
    """A pipeline that tells which texts its encoder was given, and what of the segment was made last then."""

    def __init__(self, components: LTX2Components, *, entries: int = 16, **parts: object) -> None:
        self.pipeline = LTX2Pipeline(components, LTX2T2VConfig(text_cache_entries=entries), **parts)  # type: ignore[arg-type]
        self.encoded: list[tuple[str, str]] = []
        self.made = "text"
        encode = self.pipeline.encode_text._encoded

        def watched(prompt: str, length: int | None) -> object:
            self.encoded.append((prompt, self.made))
            return encode(prompt, length)

        self.pipeline.encode_text._encoded = watched  # type: ignore[method-assign, assignment]

    def run(self, asked: GenerationRequest, upcoming: Callable[[], GenerationRequest | None] = lambda: None) -> "Made":
        self.made = "text"
        events: list[VideoEvent] = []
        for event in self.pipeline.stream(asked, upcoming=upcoming):
            events.append(event)
            if isinstance(event, VideoProgressEvent):
                self.made = f"step {event.step}" if event.step else "text"
            elif isinstance(event, VideoPartialEvent):
                self.made = "frames"
        return Made(events)


class Made:
    """What a segment gave."""

    def __init__(self, events: list[VideoEvent]) -> None:
        self.frames = np.concatenate([event.frames for event in events if isinstance(event, VideoPartialEvent)])
        assert isinstance(events[-1], VideoFinalEvent)
        self.timings = events[-1].metadata["timings"]


def request(prompt: str, *, steps: int = 3, **more: object) -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt,
        sampling=SamplingConfig(
            height=64,
            width=64,
            num_frames=9,
            fps=24,
            num_inference_steps=steps,
            seed=1,
            **more,  # type: ignore[arg-type]
        ),
        output=OutputConfig(return_state=False),
    )


def once(*requests: GenerationRequest | None) -> Callable[[], GenerationRequest | None]:
    """Gives them one after the other, then None."""
    left = list(requests)
    return lambda: left.pop(0) if left else None


@pytest.fixture
def watched(components: LTX2Components) -> Watched:
    return Watched(components)


def test_the_next_text_is_encoded_once_the_first_frames_are_out_and_found_by_its_own_segment(watched: Watched) -> None:
    watched.run(request("a kite"), once(request("a boat")))
    assert watched.encoded == [("a kite", "text"), ("a boat", "frames")]
    watched.run(request("a boat"))
    assert watched.encoded == [("a kite", "text"), ("a boat", "frames")]


def test_a_segment_is_bit_for_bit_the_same_with_a_text_that_was_encoded_ahead(components: LTX2Components) -> None:
    ahead, fresh = Watched(components), Watched(components, entries=0)
    first = ahead.run(request("a kite"), once(request("a boat")))
    assert np.array_equal(first.frames, fresh.run(request("a kite"), once(request("a boat"))).frames)
    assert np.array_equal(ahead.run(request("a boat")).frames, fresh.run(request("a boat")).frames)
    assert [text for text, _ in ahead.encoded] == ["a kite", "a boat"]
    # Without a cache there is nothing to encode for.
    assert fresh.encoded == [("a kite", "text"), ("a boat", "text")]


def test_the_time_it_takes_is_neither_text_nor_denoising(components: LTX2Components) -> None:
    now_s = 0.0

    def clock() -> float:
        return now_s

    watched = Watched(components, clock=clock)
    encode = watched.pipeline.encode_text._encoded

    def slow(prompt: str, length: int | None) -> object:
        nonlocal now_s
        now_s += 2.0
        return encode(prompt, length)

    watched.pipeline.encode_text._encoded = slow  # type: ignore[method-assign, assignment]
    first = watched.run(request("a kite"), once(request("a boat")))
    assert (first.timings["text"], first.timings["text_ahead"], first.timings["denoise"]) == (2000.0, 2000.0, 0.0)
    second = watched.run(request("a boat"))
    assert second.timings["text"] == 0.0
    assert "text_ahead" not in second.timings


def test_another_text_than_the_one_that_was_told_is_encoded_anew(watched: Watched) -> None:
    watched.run(request("a kite"), once(request("a boat")))
    watched.run(request("a lighthouse"))
    watched.run(request("a boat", max_sequence_length=128))
    assert [text for text, _ in watched.encoded] == ["a kite", "a boat", "a lighthouse", "a boat"]


def test_a_text_that_changes_while_the_segment_runs_is_encoded_too(watched: Watched) -> None:
    watched.run(request("a kite"), once(request("a boat"), request("a lighthouse")))
    watched.run(request("a lighthouse"))
    assert watched.encoded == [("a kite", "text"), ("a boat", "frames"), ("a lighthouse", "frames")]


def test_a_text_that_is_known_after_the_last_frames_is_encoded_before_the_end(watched: Watched) -> None:
    watched.run(request("a kite"), once(None, request("a boat")))
    assert watched.encoded == [("a kite", "text"), ("a boat", "frames")]


def test_the_negative_prompt_is_encoded_ahead_where_guidance_asks_for_it(components: LTX2Components) -> None:
    watched = Watched(components, recipe=LTX2Recipe(guided=True))
    following = request("a boat", guidance_scale=3.0)
    following.negative_prompt = "blur"
    watched.run(request("a kite", guidance_scale=1.0), once(following))
    assert [text for text, _ in watched.encoded] == ["a kite", "a boat", "blur"]
    watched.run(following)
    assert len(watched.encoded) == 3


def test_other_weights_encode_the_text_again(components: LTX2Components, tmp_path: Path) -> None:
    connector = components.connectors.video_embeddings_connector
    layer, linear = next((name, part) for name, part in connector.named_modules() if isinstance(part, torch.nn.Linear))
    weight = linear.weight
    adapter = tmp_path / "adapter.safetensors"
    halves = {"lora_A": torch.ones(1, weight.shape[1]), "lora_B": torch.ones(weight.shape[0], 1)}
    names = {half: f"diffusion_model.video_embeddings_connector.{layer}.{half}.weight" for half in halves}
    save_file({names[half]: tensor for half, tensor in halves.items()}, str(adapter))
    watched = Watched(components)
    watched.run(request("a kite"), once(request("a boat")))
    watched.pipeline.lora.select("a", adapter, 1.0, accumulate=False)
    try:
        merged = watched.run(request("a boat"))
    finally:
        watched.pipeline.lora.unmerge()
    assert [text for text, _ in watched.encoded] == ["a kite", "a boat", "a boat"]
    assert not np.array_equal(merged.frames, watched.run(request("a boat")).frames)


def test_a_text_encoder_that_visits_the_device_does_so_when_no_other_part_is_there(components: LTX2Components) -> None:
    there: list[str] = []

    class Visiting(Placement):
        def stay(self, *names: str) -> bool:
            return "text_encoder" not in names

        @contextmanager
        def using(self, *names: str) -> Iterator[None]:
            there.extend(names)
            yield
            del there[-len(names) :]

    watched = Watched(components, placement=Visiting(components.modules(), torch.device("cpu")))
    seen = []
    encode = watched.pipeline.encode_text._encoded

    def looking(prompt: str, length: int | None) -> object:
        seen.append(list(there))
        return encode(prompt, length)

    watched.pipeline.encode_text._encoded = looking  # type: ignore[method-assign, assignment]
    watched.run(request("a kite"), once(request("a boat")))
    assert seen == [["text_encoder", "connectors"]] * 2


@pytest.mark.parametrize("failure", [RuntimeError("out of memory at secret words"), None])
def test_a_next_text_that_cannot_be_encoded_leaves_the_running_segment_alone(
    watched: Watched, caplog: pytest.LogCaptureFixture, failure: Exception | None
) -> None:
    expected = watched.run(request("a kite")).frames
    bad = request("secret words", max_sequence_length=None if failure else 7)
    if failure is not None:
        encode = watched.pipeline.encode_text._encoded

        def failing(prompt: str, length: int | None) -> object:
            if prompt == "secret words":
                raise failure
            return encode(prompt, length)

        watched.pipeline.encode_text._encoded = failing  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(watched.run(request("a kite"), once(bad)).frames, expected)
    assert "encoded ahead" in caplog.text
    assert "secret" not in caplog.text

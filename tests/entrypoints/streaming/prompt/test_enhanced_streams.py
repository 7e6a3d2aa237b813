"""A language model behind a served stream, over a real WebSocket: whatever it does, the segment starts, and the viewer
and the session's log hear what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastvideo.api.schema import PromptEndpointConfig, PromptEnhancerConfig
from fastvideo.client import StreamClient
from fastvideo.entrypoints.streaming.protocol import (
    EnhancementUpdated,
    Ltx2SegmentComplete,
    Ltx2SegmentStart,
    PromptEnhancement,
    RewriteSeedPrompts,
    RewriteSeedPromptsComplete,
    RewriteSeedPromptsStarted,
    SeedPromptsUpdated,
    SessionInitV2,
)
from fastvideo.entrypoints.streaming.server import build_app, build_server

BETTER = "A red fox runs through fresh snow at dawn, its breath white in the cold air."


@contextlib.asynccontextmanager
async def serving(fakes: Any, *models: Any, log: Path, **prompt: Any) -> AsyncIterator[Any]:
    """A server that asks ``models``, its generator, and the URL of its stream."""
    providers = [PromptEndpointConfig(f"p{index}", base_url=model.url) for index, model in enumerate(models)]
    config = fakes.config(
        prompt=PromptEnhancerConfig(enabled=True, providers=providers, **prompt), session_log_dir=str(log)
    )
    generator = fakes.StepGenerator()
    server = build_server(build_app(config, generator), host="127.0.0.1", port=0, log_level="warning")
    task = asyncio.create_task(server._serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield generator, f"ws://127.0.0.1:{port}/v1/stream"
    finally:
        generator.free()
        server.should_exit = True
        await asyncio.wait_for(task, 30)


@contextlib.asynccontextmanager
async def session(url: str, **opening: Any) -> AsyncIterator[StreamClient]:
    async with asyncio.timeout(60), await StreamClient.connect(url, SessionInitV2(**opening)) as client:
        await client.started()
        yield client


def enhanced(url: str) -> Any:
    return session(url, enhancement_enabled=True)


async def heard(client: StreamClient, kind: Any) -> Any:
    while not isinstance(event := await client.receive(), kind):
        pass
    return event


def logged(folder: Path, event: str) -> list[dict[str, Any]]:
    (path,) = folder.glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["payload"] for line in lines if line["event"] == event]


def report_of(start: Ltx2SegmentStart) -> PromptEnhancement:
    assert start.enhancement is not None
    return start.enhancement


def cases(plays: Any) -> dict[str, tuple[list[Any], str | None]]:
    """What a service does with each request in turn, and the reason that a viewer hears; None when words come."""
    return {
        "normal": ([plays.says(BETTER)], None),
        "429 and then words": ([plays.answers(429, Retry_After="0"), plays.says(BETTER)], None),
        "429 for an hour": ([plays.answers(429, Retry_After="3600")], "rate_limited"),
        "500 and then words": ([plays.answers(500, Retry_After="0"), plays.says(BETTER)], None),
        "500 for ever": ([plays.answers(500, Retry_After="0")], "unavailable"),
        "hang": ([plays.hangs], "timeout"),
        "10 MB": ([plays.answers(200, b"x" * 10_000_000)], "malformed"),
        "bad JSON": ([plays.answers(200, b'{"choices": [')], "malformed"),
        "empty": ([plays.says("")], "empty"),
        "refusal": ([plays.says("I'm sorry, I can't help with that.")], "refused"),
    }


CASES = [
    *("normal", "429 and then words", "429 for an hour", "500 and then words", "500 for ever"),
    *("hang", "10 MB", "bad JSON", "empty", "refusal"),
]


@pytest.mark.parametrize("case", CASES)
async def test_whatever_a_language_model_does_the_segment_starts_and_the_outcome_is_told(
    case: str, start_model, plays, fakes, tmp_path
) -> None:
    what, reason = cases(plays)[case]
    model = await start_model(*what)
    timeout_ms = 300 if case == "hang" else 20_000
    async with serving(fakes, model, log=tmp_path, timeout_ms=timeout_ms) as (generator, url), enhanced(url) as client:
        await client.prompt("a fox")
        start = await heard(client, Ltx2SegmentStart)
        complete = await heard(client, Ltx2SegmentComplete)
        assert complete.timings is not None
        assert complete.timings.prompt is not None
    report = report_of(start)
    assert (report.operation, report.original, report.reason) == ("enhance", "a fox", reason)
    if reason is None:
        assert (start.prompt, start.source, report.applied, report.provider) == (BETTER, "enhanced", True, "p0")
        (line,) = logged(tmp_path, "prompt_enhanced")
        assert (line["provider"], line["model"]) == ("p0", "gpt-oss-120b")
    else:
        assert (start.prompt, start.source, report.applied, report.provider) == ("a fox", "user", False, None)
        (line,) = logged(tmp_path, "prompt_unchanged")
        assert line["reason"] == reason
        assert line["detail"]
    assert [request.prompt for request in generator.requests] == [start.prompt]
    (line,) = logged(tmp_path, "segment_start")
    assert line["prompt"] == start.prompt


async def test_a_slow_first_provider_is_overtaken_by_the_second(start_model, plays, fakes, tmp_path) -> None:
    slow, quick = await start_model(plays.hangs), await start_model(plays.says(BETTER))
    async with serving(fakes, slow, quick, log=tmp_path, hedge_after_ms=50) as (_, url), enhanced(url) as client:
        await client.prompt("a fox")
        report = report_of(await heard(client, Ltx2SegmentStart))
        assert (report.applied, report.provider, report.fallback_used) == (True, "p1", True)
        await slow.received[0].gone.wait()


async def test_a_language_model_that_takes_its_time_has_the_time_of_the_segment_before(
    start_model, plays, fakes, tmp_path
) -> None:
    ready = asyncio.Event()
    model = await start_model(plays.says("first"), plays.after(ready.wait, plays.says("second")))
    async with serving(fakes, model, log=tmp_path) as (generator, url), enhanced(url) as client:
        generator.hold()
        await client.prompt("one")
        await client.prompt("two")
        # The second prompt is worked on while the first segment is made.
        await model.asked(2)
        assert generator.trace == []
        ready.set()
        generator.free()
        starts = [await heard(client, Ltx2SegmentStart) for _ in range(2)]
        complete = await heard(client, Ltx2SegmentComplete)
    assert [start.prompt for start in starts] == ["first", "second"]
    assert all(report_of(start).applied for start in starts)
    assert complete.segment_idx == 1


async def test_a_join_waits_for_no_language_model(start_model, plays, fakes, tmp_path) -> None:
    model = await start_model(plays.says("first"), plays.hangs)
    async with serving(fakes, model, log=tmp_path, timeout_ms=600_000) as (generator, url), enhanced(url) as client:
        generator.hold()
        await client.prompt("one")
        await client.prompt("two")
        await model.asked(2)
        generator.free()
        starts = [await heard(client, Ltx2SegmentStart) for _ in range(2)]
        # Long before the operator's own deadline: the viewer has one second of picture.
        report = report_of(starts[1])
        assert (starts[1].prompt, report.applied, report.reason) == ("two", False, "timeout")
        await model.received[1].gone.wait()


@pytest.mark.parametrize("ends", ["cancel", "pause", "stop", "leave"])
async def test_what_ends_prompt_work_leaves_nothing_running(ends: str, start_model, plays, fakes, tmp_path) -> None:
    model = await start_model(plays.hangs, plays.says(BETTER))
    async with serving(fakes, model, log=tmp_path, timeout_ms=600_000) as (generator, url), enhanced(url) as client:
        await client.prompt("a fox")
        await model.asked(1)
        match ends:
            case "cancel":
                # A cancel is for a segment that was decided on, which may come a moment after the question.
                async with asyncio.timeout(30):
                    while not model.received[0].gone.is_set():
                        await client.cancel()
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(model.received[0].gone.wait(), 0.1)
            case "pause":
                await client.pause()
            case "stop":
                await client.stop()
            case "leave":
                await client.close()
        async with asyncio.timeout(30):
            await model.received[0].gone.wait()
        assert generator.requests == []
        if ends == "pause":
            # The prompt is not lost: it has its turn when the pause is over.
            await client.pause(False)
            assert (await heard(client, Ltx2SegmentStart)).prompt == BETTER
    if ends != "pause":
        assert generator.requests == []
        assert len(model.received) == 1


async def test_curated_prompts_are_enhanced_once_and_extension_makes_up_what_follows(
    start_model, plays, fakes, tmp_path
) -> None:
    async def writes(exchange: Any) -> None:
        told = exchange.body["messages"][1]["content"]
        operation = "next" if "\n" in told or told.startswith("better") else "better"
        await plays.says(f"{operation} {told.splitlines()[-1]}")(exchange)

    model = await start_model(writes)
    async with (
        serving(fakes, model, log=tmp_path) as (_, url),
        session(url, enhancement_enabled=True, auto_extension_enabled=True, curated_prompts=["a", "b"]) as client,
    ):
        starts = [await heard(client, Ltx2SegmentStart) for _ in range(3)]
    assert [(start.prompt, start.source) for start in starts] == [
        ("better a", "curated"),
        ("better b", "curated"),
        ("next better b", "auto_extension"),
    ]
    assert [report_of(start).operation for start in starts] == ["enhance", "enhance", "auto_extend"]
    asked = [exchange.body["messages"][1]["content"] for exchange in model.received]
    assert (asked.count("a"), asked.count("b")) == (1, 1)
    # The next scene is written from the whole story, in the words that were shown.
    assert "better a\nbetter b" in asked


async def test_words_for_a_loop_are_asked_for_in_the_first_round_only(start_model, plays, fakes, tmp_path) -> None:
    model = await start_model(plays.says(BETTER))
    async with (
        serving(fakes, model, log=tmp_path) as (_, url),
        session(url, enhancement_enabled=True, loop_generation_enabled=True, curated_prompts=["a", "b"]) as client,
    ):
        starts = [await heard(client, Ltx2SegmentStart) for _ in range(5)]
    assert {start.prompt for start in starts} == {BETTER}
    assert sorted(exchange.body["messages"][1]["content"] for exchange in model.received) == ["a", "b"]


async def test_enhancement_is_a_toggle_that_holds_from_the_next_segment_on(start_model, plays, fakes, tmp_path) -> None:
    model = await start_model(plays.says(BETTER))
    async with serving(fakes, model, log=tmp_path) as (_, url), session(url) as client:
        await client.prompt("plain")
        plain = await heard(client, Ltx2SegmentStart)
        await client.send(EnhancementUpdated(enabled=True))
        await client.prompt("better")
        better = await heard(client, Ltx2SegmentStart)
        await client.send(EnhancementUpdated(enabled=False))
        await client.prompt("plain again")
        again = await heard(client, Ltx2SegmentStart)
    assert (plain.prompt, plain.enhancement) == ("plain", None)
    assert better.prompt == BETTER
    assert (again.prompt, again.enhancement) == ("plain again", None)
    assert len(model.received) == 1


async def test_a_plan_is_rewritten_beside_the_stream_and_taken_over_when_the_client_says_so(
    start_model, plays, fakes, tmp_path
) -> None:
    model = await start_model(plays.says(json.dumps({"prompts": ["a cat", "a dog", "a cow"]})))
    async with (
        serving(fakes, model, log=tmp_path) as (generator, url),
        session(url, curated_prompts=["a lion", "a tiger"]) as client,
    ):
        await client.send(RewriteSeedPrompts(instruction="pets instead"))
        started = await heard(client, RewriteSeedPromptsStarted)
        complete = await heard(client, RewriteSeedPromptsComplete)
        assert (started.seed_prompts, started.count) == (["a lion", "a tiger"], 2)
        assert complete.alternatives == ["a cat", "a dog"]
        assert (complete.provider, complete.reason) == ("p0", None)
        assert generator.requests == []
        await client.send(SeedPromptsUpdated(seed_prompts=complete.alternatives))
        await client.prompt("go")
        await heard(client, Ltx2SegmentStart)
    told = model.received[0].body["messages"][1]["content"]
    assert told.startswith("a lion\na tiger")
    assert told.endswith("pets instead")
    (line,) = logged(tmp_path, "prompts_rewritten")
    assert (line["alternatives"], line["provider"]) == (2, "p0")


async def test_a_rewrite_that_nobody_answers_says_why(start_model, plays, fakes, tmp_path) -> None:
    model = await start_model(plays.answers(401))
    async with (
        serving(fakes, model, log=tmp_path) as (_, url),
        session(url, curated_prompts=["a lion"]) as client,
    ):
        await client.send(RewriteSeedPrompts(count=5))
        assert (await heard(client, RewriteSeedPromptsStarted)).count == 5
        complete = await heard(client, RewriteSeedPromptsComplete)
    assert (complete.alternatives, complete.reason) == ([], "rejected")

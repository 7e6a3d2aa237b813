"""Spans over the way of a session and its segments, and the collector that gets them, or is away."""

from __future__ import annotations

import http.server
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from fastvideo.api.errors import ConfigValidationError, GenerationFailed
from fastvideo.api.parser import parse_config
from fastvideo.api.schema import ServeConfig, TracingConfig
from fastvideo.entrypoints.streaming.collected_tracing import CollectedTracing
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.segment_trace import stage_times
from fastvideo.entrypoints.streaming.server import build_app, run_server
from fastvideo.entrypoints.streaming.start_failure import StartFailure
from fastvideo.entrypoints.streaming.tracing import Tracing, open_tracing

CONFIG = TracingConfig(endpoint="http://127.0.0.1:4318/v1/traces")
PROMPT = "canary prompt of nobody's business"


class Spans:
    """All that a server's tracing gave out."""

    def __init__(self, server: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = server.tracing = CollectedTracing(CONFIG, self.exporter)

    async def all(self) -> list[ReadableSpan]:
        """Those of sessions that are over; none follow."""
        await self.tracing.aclose()
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


def tree(spans: list[ReadableSpan], parent: ReadableSpan | None = None) -> list[Any]:
    """Names, each with those of its parts, in the order in which they began."""
    above = parent.context.span_id if parent is not None else None
    found = [span for span in spans if (span.parent.span_id if span.parent else None) == above]
    return [(span.name, sorted(tree(spans, span))) if tree(spans, span) else (span.name,) for span in found]


def one(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    (span,) = (span for span in spans if span.name == name)
    return span


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_session_of_two_segments_is_one_tree(stage: Callable[..., Any]) -> None:
    on = stage(generation_segment_cap=2)
    spans = Spans(on.server)
    client = on.open()
    client.say("segment_prompt_source", prompt=PROMPT)
    await client.hears("ltx2_segment_complete")
    client.say("segment_prompt_source", prompt="another")
    await on.over()
    found = await spans.all()
    segment = ("segment", [("prompt",), ("queue",), ("send",), ("worker", [("denoise",), ("encode",)])])
    assert tree(found) == [("session", [("admission",), segment, segment])]
    session, segments = one(found, "session"), [span for span in found if span.name == "segment"]
    assert said(session) == {
        "session.id": client.of("queue_status")[0]["session_id"],
        "fastvideo.session.continued": False,
        "fastvideo.workload": "t2v",
        "fastvideo.session.ended": "segment_cap",
        "fastvideo.session.segments": 2,
    }
    assert [said(span) for span in segments] == [
        {"fastvideo.segment.index": index, "fastvideo.prompt.source": "user", "fastvideo.segment.outcome": "complete"}
        for index in range(2)
    ]
    assert all(span.status.is_unset for span in found)
    parents = {span.context.span_id: span for span in found}
    for span in found:
        assert span.context.trace_id == session.context.trace_id
        if span.parent is not None and span.name not in ("denoise", "encode"):
            above = parents[span.parent.span_id]
            assert above.start_time <= span.start_time <= span.end_time <= above.end_time, span.name
    # The generator says of each segment that it took a millisecond.
    assert [span.end_time - span.start_time for span in found if span.name == "denoise"] == [1_000_000] * 2
    sent = [said(span)["fastvideo.send.bytes"] for span in found if span.name == "send"]
    assert sent == [message["bytes"] for message in client.of("media_segment_complete")]
    for span in found:
        assert "canary" not in span.to_json(), "no span tells a prompt"
        assert not span.events


async def test_a_cancelled_segment_ends_its_spans(stage: Callable[..., Any]) -> None:
    on = stage(generation_segment_cap=1)
    spans = Spans(on.server)
    client = await on.held(PROMPT)
    client.say("segment_cancel")
    await client.hears("segment_cancelled")
    on.generator.free()
    client.say("session_stop")
    await on.over()
    found = await spans.all()
    segment = ("segment", [("prompt",), ("queue",), ("worker",)])
    assert tree(found) == [("session", [("admission",), segment])]
    assert said(one(found, "segment"))["fastvideo.segment.outcome"] == "cancelled"
    assert one(found, "segment").status.is_unset, "a client's wish is no error"


async def test_a_failed_segment_tells_the_errors_code_and_not_its_words(stage: Callable[..., Any]) -> None:
    on = stage(generation_segment_cap=1)
    spans = Spans(on.server)
    on.generator.failures[PROMPT] = lambda: GenerationFailed(f"could not make {PROMPT}")
    client = on.open()
    client.say("segment_prompt_source", prompt=PROMPT)
    await client.hears("error")
    client.say("session_stop")
    await on.over()
    found = await spans.all()
    segment = one(found, "segment")
    assert said(segment)["fastvideo.segment.outcome"] == "failed"
    assert said(segment)["error.type"] == GenerationFailed.code
    assert not segment.status.is_ok
    assert not segment.status.is_unset
    assert one(found, "session").status.is_unset, "the session went on"
    for span in found:
        assert "canary" not in span.to_json()
        assert not span.events


async def test_a_session_whose_client_leaves_interrupts_its_segment(stage: Callable[..., Any]) -> None:
    on = stage()
    spans = Spans(on.server)
    client = await on.held(PROMPT)
    client.leave()
    on.generator.free()
    await on.over()
    found = await spans.all()
    assert said(one(found, "segment"))["fastvideo.segment.outcome"] == "interrupted"
    assert said(one(found, "session"))["fastvideo.session.ended"] == "client_left"


async def test_a_segment_that_made_way_for_another_waits_and_is_made_twice(
    stage: Callable[..., Any], fakes: Any
) -> None:
    on = stage(generation_segment_cap=1)
    spans = Spans(on.server)
    on.server.pool._admission.set_slots(1, 0.0)
    on.generator.hold()
    # Two steps and some media are made.
    on.generator.allow(3)
    client = on.open()
    client.say("segment_prompt_source", prompt=PROMPT)
    await client.hears("media_init")
    client.lose()
    await fakes.until(lambda: on.server.sessions.parked == 1)
    other = on.open()
    other.say("session_stop")
    await fakes.until(lambda: on.generator.token.cancelled)
    on.generator.free()
    await on.over(1)
    on.come_back(client)
    await on.over(0)
    found = await spans.all()
    parts = sorted(
        [("prompt",), ("queue",), ("worker",), ("send",), ("queue",), ("worker", [("denoise",), ("encode",)])]
    )
    (first,) = (session for session in tree(found) if any(part[0] == "segment" for part in session[1]))
    assert first == ("session", [("admission",), ("segment", parts)])


async def test_no_session_has_spans_at_a_ratio_of_none(stage: Callable[..., Any]) -> None:
    on = stage(generation_segment_cap=1)
    exporter = InMemorySpanExporter()
    on.server.tracing = CollectedTracing(TracingConfig(CONFIG.endpoint, sample_ratio=0.0), exporter)
    client = on.open()
    client.say("segment_prompt_source", prompt=PROMPT)
    await on.over()
    await on.server.tracing.aclose()
    assert exporter.get_finished_spans() == ()


def test_stages_follow_each_other_and_decoding_and_encoding_begin_together() -> None:
    timings_ms = {"first_fragment": 9.0, "encode": 4.0, "decode": 3.0, "denoise": 2.0, "text": 1.0}
    assert stage_times(timings_ms, 1_000_000) == [
        ("text", 1_000_000, 2_000_000),
        ("denoise", 2_000_000, 4_000_000),
        ("decode", 4_000_000, 7_000_000),
        ("encode", 4_000_000, 8_000_000),
    ]


# --- the collector


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it is sent. ``held``: answers nothing until ``released``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.held = False
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class Taking(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.held:
            self.server.released.wait(30)
        self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def test_the_mock_server_hands_its_spans_to_the_collector_before_it_ends(collector: Collector) -> None:
    tracing = open_tracing(TracingConfig(collector.url, service_name="canteen"))
    app = build_mock_app(width=64, height=64, num_frames=8, segment_cap=1)
    app.state.server_state.tracing = tracing
    with TestClient(app, base_url="http://localhost") as client, client.websocket_connect("/v1/stream") as connection:
        connection.send_json({"type": "session_init_v2"})
        connection.send_json({"type": "segment_prompt_source", "prompt": PROMPT})
        while (frame := connection.receive())["type"] != "websocket.close":
            assert frame["type"] == "websocket.send"
    names = set()
    for path, request in collector.requests:
        assert path == "/v1/traces"
        assert b"canary" not in request.SerializeToString()
        for resource in request.resource_spans:
            told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            assert told["service.name"] == "canteen"
            names |= {span.name for scope in resource.scope_spans for span in scope.spans}
    assert {"session", "segment", "prompt", "queue", "worker", "denoise", "decode", "encode", "send"} <= names


async def test_a_server_ends_though_its_collector_hangs(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    collector.held = True
    tracing = CollectedTracing(TracingConfig(collector.url), flush_timeout_s=0.05)
    tracing.begin("session").end()
    await tracing.aclose()
    assert "did not take the last spans in 0.05 s" in caplog.text


async def test_a_collector_that_is_not_there_is_told_of_once_and_in_our_words(
    fakes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody answers there.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces"
        tracing = CollectedTracing(TracingConfig(url), flush_timeout_s=0.2)
        tracing.begin("session").end()
        await tracing.aclose()
        await fakes.until(lambda: f"{url} takes no spans" in caplog.text)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(record.name == CollectedTracing.__module__ for record in lines), caplog.text


class Failing(SpanExporter):
    """Takes spans while ``there``."""

    there = False

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.there else SpanExportResult.FAILURE


async def test_each_absence_of_the_collector_is_one_line_and_its_return_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="fastvideo")
    exporter = Failing()
    tracing = CollectedTracing(CONFIG, exporter)
    for there in (False, False, True, True, False):
        exporter.there = there
        tracing.begin("session").end()
        assert tracing.processor.force_flush()
    await tracing.aclose()
    told = [
        record.message.removeprefix(f"{CONFIG.endpoint} ")
        for record in caplog.records
        if str(CONFIG.endpoint) in record.message
    ]
    lost = "takes no spans; those of this time are lost, and no session waits"
    assert told == [lost, "takes spans again", lost]


# --- configuration


def test_a_server_without_a_collector_makes_no_spans() -> None:
    assert type(open_tracing(TracingConfig())) is Tracing


def test_a_server_without_the_packages_does_not_start_and_says_what_to_install(
    fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fastvideo.entrypoints.streaming.collected_tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    config = fakes.config()
    config.server.host, config.server.port, config.server.tracing = "127.0.0.1", 0, CONFIG
    with pytest.raises(StartFailure, match=r"server\.tracing\.endpoint: .*pip install 'fastvideo\[tracing\]'"):
        run_server(config, generator=fakes.StepGenerator())
    with pytest.raises(ConfigValidationError, match=r"server\.tracing\.endpoint"):
        build_app(config, fakes.StepGenerator())


@pytest.mark.parametrize(
    "values",
    [
        {"endpoint": "collector:4318"},
        {"endpoint": "http://user:secret@collector/v1/traces"},
        {"endpoint": "http://collector/v1/traces?token=x"},
        {"service_name": ""},
        {"sample_ratio": 1.5},
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_path(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(ConfigValidationError, match=rf"server\.tracing\.{name}"):
        parse_config(ServeConfig, {"generator": {"model_path": "mock:"}, "server": {"tracing": values}})

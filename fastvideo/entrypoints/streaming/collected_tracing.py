"""Spans that an OpenTelemetry collector gets, in batches and from a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

import fastvideo
from fastvideo.api.tracing_config import TracingConfig
from fastvideo.entrypoints.streaming.tracing import Attributes, Span, Tracing

logger = logging.getLogger(__name__)

# Of one batch, with what is tried again.
EXPORT_TIMEOUT_S = 5.0
FLUSH_TIMEOUT_S = 3.0


class CollectedSpan(Span):
    """One that goes to the collector once it is over."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._over = False

    def child(self, name: str, attributes: Attributes | None = None, *, begin_ns: int | None = None) -> Span:
        within = trace.set_span_in_context(self._span, Context())
        span = self._tracer.start_span(name, within, attributes=attributes, start_time=begin_ns or time.time_ns())
        return CollectedSpan(self._tracer, span)

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, code: str) -> None:
        # The code alone: an error's text may quote what a client wrote.
        self._span.set_attribute("error.type", code)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self, end_ns: int | None = None) -> None:
        if not self._over:
            self._over = True
            self._span.end(end_ns or time.time_ns())


class CollectedTracing(Tracing):
    """Never waits for the collector, and gives up spans that it does not take. ``exporter`` replaces the one for
    ``config.endpoint``."""

    def __init__(
        self,
        config: TracingConfig,
        exporter: SpanExporter | None = None,
        *,
        flush_timeout_s: float = FLUSH_TIMEOUT_S,
    ) -> None:
        if exporter is None:
            exporter = OTLPSpanExporter(endpoint=config.endpoint, timeout=EXPORT_TIMEOUT_S)
            # It has a line for each attempt; ours are one for each time that the collector goes away.
            logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.CRITICAL)
        self._endpoint = config.endpoint
        self._flush_timeout_s = flush_timeout_s
        self._exporter = _ToldOnce(exporter, config.endpoint)
        self.processor = BatchSpanProcessor(self._exporter)
        # Neither global, where libraries would find it and add spans of their own, nor flushed at the process's exit.
        provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(config.sample_ratio),
            resource=Resource.create({SERVICE_NAME: config.service_name, SERVICE_VERSION: fastvideo.__version__}),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self.processor)
        self._tracer = provider.get_tracer("fastvideo", fastvideo.__version__)

    def begin(self, name: str, attributes: Attributes | None = None) -> Span:
        span = self._tracer.start_span(name, Context(), attributes=attributes, start_time=time.time_ns())
        return CollectedSpan(self._tracer, span)

    async def aclose(self) -> None:
        loop, flushed = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self.processor.shutdown()  # type: ignore[no-untyped-call]
            # The server may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(flushed.set)

        # A daemon, so that a collector that hangs does not keep the process.
        threading.Thread(target=flush, name="tracing-flush", daemon=True).start()
        try:
            async with asyncio.timeout(self._flush_timeout_s):
                await flushed.wait()
        except TimeoutError:
            logger.warning("%s did not take the last spans in %g s", self._endpoint, self._flush_timeout_s)
            # Ends its waiting between two attempts.
            self._exporter.shutdown()


class _ToldOnce(SpanExporter):
    """Logs that a collector takes no spans once, and once that it takes them again."""

    def __init__(self, exporter: SpanExporter, endpoint: str | None) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._away = False
        self._ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away and not self._away:
            logger.warning("%s takes no spans; those of this time are lost, and no session waits", self._endpoint)
        elif self._away and not away:
            logger.info("%s takes spans again", self._endpoint)
        self._away = away
        return result

    def shutdown(self) -> None:
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()

"""The Python client of `WS /v1/stream`: typed messages and media over asyncio."""

from fastvideo.client.errors import ProtocolViolation, SegmentStopped, StreamClosed, StreamError
from fastvideo.client.received_segment import ReceivedSegment
from fastvideo.client.recording import Recording
from fastvideo.client.stream_client import StreamClient
from fastvideo.client.stream_protocol import Event, InitSegment, MediaFragment, StreamProtocol, UnknownMessage

__all__ = [
    "Event",
    "InitSegment",
    "MediaFragment",
    "ProtocolViolation",
    "ReceivedSegment",
    "Recording",
    "SegmentStopped",
    "StreamClient",
    "StreamClosed",
    "StreamError",
    "StreamProtocol",
    "UnknownMessage",
]

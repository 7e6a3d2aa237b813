"""The Python client of a server: live streams, videos as jobs, and images.

``Client`` and ``AsyncClient`` are for most programs. ``StreamClient`` is for those that want every message of
`WS /v1/stream`, with types.
"""

from fastvideo.client.async_client import AsyncClient
from fastvideo.client.async_stream import AsyncStream
from fastvideo.client.errors import (
    KeyRefused,
    PromptRejected,
    ProtocolViolation,
    RequestRefused,
    SegmentStopped,
    ServerBusy,
    ServerUnreachable,
    StreamClosed,
    StreamError,
    VideoFailed,
)
from fastvideo.client.received_segment import ReceivedSegment
from fastvideo.client.recording import Recording
from fastvideo.client.stream_client import StreamClient
from fastvideo.client.stream_protocol import Event, InitSegment, MediaFragment, StreamProtocol, UnknownMessage
from fastvideo.client.sync_client import Client
from fastvideo.client.sync_stream import Stream

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Client",
    "Event",
    "InitSegment",
    "KeyRefused",
    "MediaFragment",
    "PromptRejected",
    "ProtocolViolation",
    "ReceivedSegment",
    "Recording",
    "RequestRefused",
    "SegmentStopped",
    "ServerBusy",
    "ServerUnreachable",
    "Stream",
    "StreamClient",
    "StreamClosed",
    "StreamError",
    "StreamProtocol",
    "UnknownMessage",
    "VideoFailed",
]

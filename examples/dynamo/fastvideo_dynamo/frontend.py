"""Chunks as Dynamo's HTTP frontend (1.6) reads them: it has types of its own, and drops what it does not know."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastvideo_dynamo import protocol

STATE_FORMAT = "continuation_state"

Handle = Callable[[Mapping[str, Any], Any], AsyncIterator[dict[str, Any]]]


def for_frontend(handle: Handle) -> Handle:
    """The same handler, for the endpoint that the frontend calls."""

    async def generate(request: Mapping[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
        async for chunk in handle(request, context):
            yield frontend_chunk(chunk)

    return generate


def frontend_chunk(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """``progress`` in whole percent; a state, which has no place, as a second item of ``data``: JSON as base64."""
    data = list(chunk["data"])
    state = (chunk.get("nvext") or {}).get("continuation_state")
    if state is not None:
        text = json.dumps(state, separators=(",", ":")).encode()
        data.append({"output_format": STATE_FORMAT, "b64_json": protocol.base64_of(text)})
    known = ("id", "object", "created", "model", "status", "inference_time_s")
    percent = int(100 * chunk["progress"])
    # Only the whole video is 100 %.
    progress = 100 if chunk["status"] == "completed" else min(percent, 99)
    return {**{name: chunk[name] for name in known if name in chunk}, "progress": progress, "data": data}

"""The body of a request, JSON or a form, of bounded size, as one of our models and the files that came along."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from fastvideo.entrypoints.openai.api_errors import ApiError, unavailable
from fastvideo.entrypoints.openai.multipart import MultipartInvalid, boundary_of, read_parts

# The 40 MB of a state, or an image of 32 MiB as base64, and what is around it.
MAX_BODY_BYTES = 48 << 20
SMALL_BODY_BYTES = 64 << 10
MAX_LARGE_BODIES = 8
READ_TIMEOUT_S = 60.0
_MERGED = ("extra_body", "extra_json")

AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True)
class RequestBody:
    """What came: the values by name, and the files by name. ``digest`` tells it from others."""

    values: dict[str, Any]
    digest: str
    typed: bool
    files: dict[str, list[bytes]] = field(default_factory=dict)

    async def parsed(self, model: type[AnyModel]) -> AnyModel:
        """The values as ``model``: strictly where they had types of their own, from text where they came in a form.

        Raises ApiError 400.
        """
        # Megabytes of a state take their time, and live streams share the event loop.
        return await asyncio.to_thread(self._parsed, model)

    def _parsed(self, model: type[AnyModel]) -> AnyModel:
        try:
            return model.model_validate_json(to_json(self.values), strict=self.typed)
        except (ValidationError, ValueError) as error:
            raise _invalid(error) from None


class BodyReader:
    """Reads the bodies of requests, of which at most ``MAX_LARGE_BODIES`` large ones are in memory on their way."""

    def __init__(self) -> None:
        self._large = 0

    async def read(self, request: Request) -> RequestBody:
        """The body. Raises ApiError: 400 for bad ones, 408 for slow ones, 413 for more than ``MAX_BODY_BYTES``, 415 for
        other kinds, 503 when too many large ones are on their way."""
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) <= SMALL_BODY_BYTES:
            return await _read(request)
        if self._large >= MAX_LARGE_BODIES:
            raise unavailable("Too many large requests are on their way; try again.", "busy")
        self._large += 1
        try:
            return await _read(request)
        finally:
            self._large -= 1


async def _read(request: Request) -> RequestBody:
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("application/json", "multipart/form-data"):
        message = "Expected a body of application/json or multipart/form-data."
        raise ApiError(415, message, param="Content-Type", code="unsupported_media_type")
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            body = await _bounded(request)
    except TimeoutError:
        raise ApiError(408, "The body did not come in time.", code="body_too_slow") from None
    if kind == "application/json":
        return await asyncio.to_thread(_from_json, body)
    return await asyncio.to_thread(_from_form, body, content_type)


def _from_json(body: bytes) -> RequestBody:
    return RequestBody(_merged(_object(body, "the body")), hashlib.sha256(body).hexdigest(), typed=True)


def _from_form(body: bytes, content_type: str) -> RequestBody:
    values: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    try:
        for part in read_parts(body, boundary_of(content_type)):
            # A client's library may put a file's bytes into a part without a file name, but never text into one with.
            if part.is_file:
                files.setdefault(part.name, []).append(part.data)
            else:
                _put(values, part.name, part.text())
    except MultipartInvalid as error:
        raise ApiError(400, f"The form cannot be read: {error}.", code="invalid_form") from None
    # Forms of different boundaries say the same.
    canonical = hashlib.sha256(to_json(values))
    for name, found in files.items():
        for data in found:
            canonical.update(f"{name}:{len(data)}:".encode() + data)
    for name in _MERGED:
        if isinstance(values.get(name), str):
            values[name] = _object(values[name].encode(), name)
    return RequestBody(_merged(values), canonical.hexdigest(), typed=False, files=files)


async def _bounded(request: Request) -> bytes:
    too_large = ApiError(413, f"Expected a body of at most {MAX_BODY_BYTES} bytes.", code="body_too_large")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise ApiError(400, f"Expected {what} to be JSON.", code="invalid_json") from None
    if not isinstance(found, dict):
        raise ApiError(400, f"Expected {what} to be a JSON object.", code="invalid_json")
    return found


def _merged(values: dict[str, Any]) -> dict[str, Any]:
    """What clients of the official library add under names of its own is a part of the request."""
    for name in _MERGED:
        extra = values.pop(name, None)
        if extra is None:
            continue
        if not isinstance(extra, dict):
            raise ApiError(400, f"{name}: expected a JSON object.", param=name, code="invalid_value")
        values = {**values, **extra}
    return values


def _put(values: dict[str, Any], name: str, text: str) -> None:
    """A field of a form; ``a[b]`` is the field ``b`` of an object ``a``."""
    outer, bracket, inner = name.partition("[")
    if bracket and inner.endswith("]") and len(inner) > 1:
        values.setdefault(outer, {})
        if isinstance(values[outer], dict):
            values[outer][inner[:-1]] = text
            return
    values[name] = text


def _invalid(error: ValueError) -> ApiError:
    if not isinstance(error, ValidationError):
        return ApiError(400, "Expected text that is valid Unicode.", code="invalid_value")
    first = error.errors(include_url=False, include_input=False)[0]
    location = [str(part) for part in first["loc"]]
    name = "".join(char if " " <= char <= "~" else "?" for char in (location[0] if location else "body")[:40])
    if first["type"] == "missing":
        return ApiError(400, f"{name}: required, but missing.", param=name, code="missing_parameter")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"{name}: there is no such parameter.", param=name, code="unknown_parameter")
    sentence = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    return ApiError(400, f"{name}: {sentence}.", param=name, code="invalid_value")

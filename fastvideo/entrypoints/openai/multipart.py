"""Reads ``multipart/form-data`` (RFC 7578) that is all in memory; nothing in it ever becomes a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{1,70}")
_MAX_PARTS = 64
_MAX_HEAD_BYTES = 4096


class MultipartInvalid(ValueError):
    """A body that is not what its content type says."""


@dataclass(frozen=True)
class Part:
    """One field of a form; ``is_file`` when it came with a file name."""

    name: str
    data: bytes
    is_file: bool

    def text(self) -> str:
        """The value as text. Raises MultipartInvalid unless it is UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise MultipartInvalid(f"the field {self.name[:40]!r} is not UTF-8") from None


def boundary_of(content_type: str) -> str:
    """What stands between the parts. Raises MultipartInvalid."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise MultipartInvalid("the content type has no usable boundary")
    return boundary


def read_parts(body: bytes, boundary: str) -> list[Part]:
    """The parts in order, at most 64 of them. Raises MultipartInvalid."""
    fence = b"\r\n--" + boundary.encode("ascii")
    # The first boundary may be the body's beginning.
    whole = b"\r\n" + body
    at = whole.find(fence)
    if at < 0:
        raise MultipartInvalid("the body has no boundary")
    parts: list[Part] = []
    while True:
        at += len(fence)
        if whole.startswith(b"--", at):
            return parts
        line_end = whole.find(b"\r\n", at, at + _MAX_HEAD_BYTES)
        if line_end < 0 or whole[at:line_end].strip(b" \t"):
            raise MultipartInvalid("a boundary is followed by something else")
        # Headers end with an empty line; a part without any begins with one at once.
        head_end = whole.find(b"\r\n\r\n", line_end, line_end + _MAX_HEAD_BYTES)
        if head_end < 0:
            raise MultipartInvalid("a part has no headers, or too long ones")
        end = whole.find(fence, head_end + 4)
        if end < 0:
            raise MultipartInvalid("the body ends before its last boundary")
        if len(parts) == _MAX_PARTS:
            raise MultipartInvalid(f"the body has more than {_MAX_PARTS} parts")
        parts.append(_part(whole[line_end:head_end], whole[head_end + 4 : end]))
        at = end


def _part(head: bytes, data: bytes) -> Part:
    for line in head.decode("utf-8", errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            header = Message()
            header["content-disposition"] = value.strip()
            field = header.get_param("name", header="content-disposition")
            if header.get_content_disposition() != "form-data" or not isinstance(field, str) or not field:
                break
            is_file = header.get_param("filename", header="content-disposition") is not None
            return Part(field, data, is_file)
    raise MultipartInvalid("a part does not say which field it is")

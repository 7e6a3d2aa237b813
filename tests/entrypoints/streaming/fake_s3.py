"""As much of S3 over HTTP as blobs and results use, with a dict of the test's process behind it."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class FakeS3:
    """Serves ``objects`` (key to bytes, MIME, seconds of the last change) as bucket ``bucket`` at ``endpoint``;
    ``ranges`` are those that were asked for, from where and how many bytes."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.bucket = "films"
        self.objects: dict[str, tuple[bytes, str, float]] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.ranges: list[tuple[int, int]] = []
        self.broken = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(s3: FakeS3) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet, or each answer waits for the client's acknowledgement.
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            key = self._key()
            if s3.broken:
                self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            elif key:
                self._give(key, with_body=True)
            else:
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self._answer(200, _listing(s3, query.get("prefix", "")))

        def do_HEAD(self) -> None:
            if s3.broken:
                self._answer(403, b"")
                return
            self._give(self._key(), with_body=False)

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if s3.broken:
                self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
                return
            query = parse_qs(urlsplit(self.path).query)
            if "partNumber" in query:
                s3.parts[self._key(), int(query["partNumber"][0])] = data
            else:
                s3.objects[self._key()] = (data, self.headers["Content-Type"], s3.clock())
            self._answer(200, b"", ETag=_etag(data))

        def do_DELETE(self) -> None:
            s3.objects.pop(self._key(), None)
            self._answer(204, b"")

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            query, key = parse_qs(urlsplit(self.path).query, keep_blank_values=True), self._key()
            if s3.broken:
                self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
                return
            if "uploads" in query:
                inside = f"<Bucket>{s3.bucket}</Bucket><Key>{escape(key)}</Key><UploadId>1</UploadId>"
                self._answer(200, f"<InitiateMultipartUploadResult>{inside}</InitiateMultipartUploadResult>".encode())
                return
            if "uploadId" in query:
                numbers = sorted(number for name, number in s3.parts if name == key)
                data = b"".join(s3.parts.pop((key, number)) for number in numbers)
                s3.objects[key] = (data, "", s3.clock())
                inside = f"<Key>{escape(key)}</Key><ETag>{escape(_etag(data))}</ETag>"
                self._answer(200, f"<CompleteMultipartUploadResult>{inside}</CompleteMultipartUploadResult>".encode())
                return
            # What is left is the deletion of many at once.
            keys = [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]
            for key in keys:
                s3.objects.pop(key, None)
            deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
            self._answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def _key(self) -> str:
            return unquote(urlsplit(self.path).path).removeprefix(f"/{s3.bucket}").removeprefix("/")

        def _give(self, key: str, *, with_body: bool) -> None:
            if key not in s3.objects:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>" if with_body else b"")
                return
            data, mime, changed_s = s3.objects[key]
            headers = {
                "ETag": _etag(data),
                "Content-Type": mime,
                "Last-Modified": format_datetime(datetime.fromtimestamp(changed_s, UTC), usegmt=True),
            }
            asked = self.headers.get("Range")
            if asked is None:
                self._answer(200, data, with_body=with_body, **headers)
                return
            first, _, last = asked.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
            s3.ranges.append((int(first), len(part)))
            self._answer(206, part, with_body=with_body, **headers)

        def _answer(self, status: int, body: bytes, *, with_body: bool = True, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    return Handler


def _listing(s3: FakeS3, prefix: str) -> bytes:
    items = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>{escape(_etag(data))}</ETag>"
        f"<LastModified>{datetime.fromtimestamp(changed_s, UTC).isoformat()}</LastModified></Contents>"
        for key, (data, _, changed_s) in sorted(s3.objects.items())
        if key.startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'

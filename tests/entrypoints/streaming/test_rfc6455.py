"""RFC 6455 over raw sockets, case by case: each test names the section that it holds `WS /v1/stream` to."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastvideo.entrypoints.streaming.listening import bind
from fastvideo.entrypoints.streaming.mock_server import build_mock_app
from fastvideo.entrypoints.streaming.stream_server import StreamServer, build_server
from fastvideo.entrypoints.streaming.websocket_protocol import MAX_FRAGMENTS, MAX_OPENING_BYTES

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
INIT = b'{"type": "session_init_v2"}'
# The example of section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = build_mock_app(width=64, height=64, num_frames=8, fps=8)
    with bind("127.0.0.1", 0) as listener:
        server: StreamServer = build_server(app, host="127.0.0.1", port=0, log_level="error")
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\x37\xfa\x21\x3d"
) -> bytes:
    """One frame as a client sends it; ``mask`` None leaves it out."""
    head = bytes([(FIN if fin else 0) | rsv << 4 | opcode])
    bit = 0 if mask is None else 0x80
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(data))
    if mask is None:
        return head + data
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


class RawClient:
    """A connection that says whatever it is told to."""

    def __init__(self, port: int, **headers: str | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.settimeout(60)
        self._rest = b""
        self.status, self.headers = self._shake_hands(port, headers)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def _shake_hands(self, port: int, changed: dict[str, str | None]) -> tuple[int, dict[str, str]]:
        line = changed.pop("line", None) or "GET /v1/stream HTTP/1.1"
        named = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        lines = [f"{name}: {value}" for name, value in named.items() if value is not None]
        self._socket.sendall("\r\n".join([line, *lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._rest:
            more = self._socket.recv(65536)
            assert more, "the connection was closed during the handshake"
            self._rest += more
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        status, *said = head.decode().split("\r\n")
        return int(status.split()[1]), {key.lower(): value for key, value in (one.split(": ", 1) for one in said)}

    def say(self, *frames: bytes) -> None:
        self._socket.sendall(b"".join(frames))

    def _exactly(self, count: int) -> bytes:
        while len(self._rest) < count:
            more = self._socket.recv(65536)
            if not more:
                raise EOFError
            self._rest += more
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def hear(self) -> tuple[int, bytes]:
        """The next frame, which is whole, unmasked and without reserved bits, as all of the server's are."""
        first, second = self._exactly(2)
        assert first & 0x70 == 0
        assert first & FIN
        assert second & 0x80 == 0, "section 5.1: a server must not mask"
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
            assert length >= 126, "section 5.2: the shortest form of a length"
        elif second == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
            assert length >= 1 << 16
        return first & 0x0F, self._exactly(length)

    def hear_message(self, kind: str) -> dict[str, Any]:
        """The next text message of this type."""
        while True:
            opcode, data = self.hear()
            if opcode == TEXT and (message := json.loads(data))["type"] == kind:
                return message

    def hear_close(self) -> bytes:
        """What the server's close frame says; TCP is closed after it (section 7.1.1), at once when the client has done
        its part."""
        while True:
            opcode, data = self.hear()
            if opcode == CLOSE:
                break
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        with pytest.raises((EOFError, ConnectionResetError)):
            self.hear()
        return data

    def is_failed_with(self, code: int) -> None:
        """The server says so, in a close frame with this code (section 7.1.7)."""
        data = self.hear_close()
        assert struct.unpack("!H", data[:2])[0] == code
        data[2:].decode()


# --- section 4: the opening handshake


def test_4_2_2_the_handshake_is_answered_with_the_accept_value_of_the_key(port: int) -> None:
    own = base64.b64encode(os.urandom(16)).decode()
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    for key, accept in ((KEY, ACCEPT), (own, base64.b64encode(hashlib.sha1(own.encode() + guid).digest()).decode())):
        with RawClient(port, Sec_WebSocket_Key=key) as client:
            assert client.status == 101
            assert client.headers["sec-websocket-accept"] == accept
            assert client.headers["upgrade"].lower() == "websocket"
            assert client.headers["connection"].lower() == "upgrade"


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE", "Upgrade": "WebSocket"},
        {"Sec_WebSocket_Protocol": "chat, superchat"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits, x-unknown"},
    ],
    ids=str,
)
def test_4_2_1_what_a_client_may_also_say_is_accepted_and_nothing_unknown_is_agreed_on(
    port: int, headers: dict[str, str]
) -> None:
    with RawClient(port, **headers) as client:
        assert client.status == 101
        assert "sec-websocket-protocol" not in client.headers
        assert "sec-websocket-extensions" not in client.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "dGVu"},
        {"Sec_WebSocket_Key": "not base64!"},
        {"Sec_WebSocket_Version": None},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Version": "thirteen"},
        {"Connection": "keep-alive"},
        {"Upgrade": "h2c"},
        {"line": "POST /v1/stream HTTP/1.1", "Content_Length": "0"},
        {"line": "GET /v1/nothing HTTP/1.1"},
    ],
    ids=str,
)
def test_4_2_1_a_handshake_that_is_none_is_answered_with_an_error(port: int, headers: dict[str, str | None]) -> None:
    with RawClient(port, **headers) as client:
        assert 400 <= client.status < 500


def test_4_4_an_unknown_version_is_told_the_known_one(port: int) -> None:
    with RawClient(port, Sec_WebSocket_Version="8") as client:
        assert (client.status, client.headers["sec-websocket-version"]) == (426, "13")


def test_11_3_4_the_subprotocol_that_is_agreed_on_is_one_that_was_offered(port: int) -> None:
    with RawClient(port, Sec_WebSocket_Protocol="fastvideo.v1, fastvideo.token.x") as client:
        assert (client.status, client.headers["sec-websocket-protocol"]) == (101, "fastvideo.v1")


# --- section 5: framing


@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
def test_5_2_reserved_bits_fail_the_connection(port: int, opcode: int, rsv: int) -> None:
    with RawClient(port) as client:
        client.say(frame(opcode, b"x", rsv=rsv))
        client.is_failed_with(1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_5_2_reserved_opcodes_fail_the_connection(port: int, opcode: int) -> None:
    with RawClient(port) as client:
        client.say(frame(opcode, b"x"))
        client.is_failed_with(1002)


@pytest.mark.parametrize("length", [125, 126, 127, 65535, 65536, 1 << 20])
def test_5_2_all_three_forms_of_a_length_are_read(port: int, length: int) -> None:
    with RawClient(port) as client:
        client.say(frame(TEXT, INIT.ljust(length)))
        assert client.hear_message("queue_status")["position"] == 0


def test_5_2_a_length_with_its_highest_bit_set_fails_the_connection(port: int) -> None:
    with RawClient(port) as client:
        client.say(bytes([FIN | TEXT, 0x80 | 127]) + struct.pack("!Q", 1 << 63) + b"mask")
        client.is_failed_with(1009)


@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_5_1_a_frame_without_a_mask_fails_the_connection(port: int, opcode: int) -> None:
    with RawClient(port) as client:
        client.say(frame(opcode, b"", mask=None))
        client.is_failed_with(1002)


@pytest.mark.parametrize("mask", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_5_3_any_mask_is_taken_off(port: int, mask: bytes) -> None:
    with RawClient(port) as client:
        client.say(frame(PING, b"hello", mask=mask), frame(TEXT, INIT, mask=mask))
        assert client.hear() == (PONG, b"hello")
        client.hear_message("queue_status")


def test_5_2_frames_that_come_byte_by_byte_are_put_together(port: int) -> None:
    with RawClient(port) as client:
        for byte in frame(PING, b"slow") + frame(TEXT, INIT):
            client.say(bytes([byte]))
        assert client.hear() == (PONG, b"slow")
        client.hear_message("queue_status")


# --- section 5.4: fragmentation


@pytest.mark.parametrize("cuts", [(1,), (0, 0, 5), tuple(range(1, len(INIT))), (len(INIT), len(INIT))])
def test_5_4_a_message_may_come_in_any_fragments_with_control_frames_between_them(
    port: int, cuts: tuple[int, ...]
) -> None:
    edges = [0, *cuts, len(INIT)]
    parts = [INIT[start:end] for start, end in itertools.pairwise(edges)]
    with RawClient(port) as client:
        for index, part in enumerate(parts):
            client.say(frame(CONT if index else TEXT, part, fin=index == len(parts) - 1))
            if index < len(parts) - 1:
                client.say(frame(PING, str(index).encode()))
                assert client.hear() == (PONG, str(index).encode())
        client.hear_message("queue_status")


@pytest.mark.parametrize("fin", [True, False])
def test_5_4_a_continuation_of_nothing_fails_the_connection(port: int, fin: bool) -> None:
    with RawClient(port) as client:
        client.say(frame(CONT, b"x", fin=fin))
        client.is_failed_with(1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_5_4_a_message_within_another_fails_the_connection(port: int, opcode: int) -> None:
    with RawClient(port) as client:
        client.say(frame(TEXT, b"{", fin=False), frame(opcode, b"}"))
        client.is_failed_with(1002)


def test_5_4_a_message_that_never_ends_is_given_up_even_if_its_fragments_are_empty(port: int) -> None:
    with RawClient(port) as client:
        empty = frame(CONT, fin=False)
        client.say(frame(TEXT, fin=False), empty * MAX_FRAGMENTS)
        client.is_failed_with(1009)


# --- section 5.5: control frames


@pytest.mark.parametrize("length", [0, 1, 125])
def test_5_5_2_a_ping_is_answered_with_its_own_words(port: int, length: int) -> None:
    words = os.urandom(length)
    with RawClient(port) as client:
        client.say(frame(PING, words))
        assert client.hear() == (PONG, words)


def test_5_5_2_pings_are_answered_in_order_before_and_while_a_session_is_open(port: int) -> None:
    with RawClient(port) as client:
        client.say(*(frame(PING, str(number).encode()) for number in range(50)))
        assert [client.hear() for _ in range(50)] == [(PONG, str(number).encode()) for number in range(50)]
        client.say(frame(TEXT, INIT))
        client.hear_message("ltx2_stream_start")
        client.say(frame(PING, b"open"))
        assert client.hear() == (PONG, b"open")


def test_5_5_3_a_pong_that_nobody_asked_for_is_ignored(port: int) -> None:
    with RawClient(port) as client:
        client.say(frame(PONG), frame(PONG, b"x" * 125), frame(PING, b"still here"))
        assert client.hear() == (PONG, b"still here")


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_5_5_a_control_frame_that_is_too_long_or_a_fragment_fails_the_connection(port: int, opcode: int) -> None:
    for wrong in (frame(opcode, b"\x03\xe8" + b"x" * 124), frame(opcode, b"\x03\xe8", fin=False)):
        with RawClient(port) as client:
            client.say(wrong)
            client.is_failed_with(1002)


# --- sections 5.5.1 and 7: closing


@pytest.mark.parametrize(
    "said", [b"", *(struct.pack("!H", code) for code in (1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999))]
)
def test_5_5_1_a_close_is_answered_with_its_own_code_and_tcp_is_closed(port: int, said: bytes) -> None:
    with RawClient(port) as client:
        client.say(frame(CLOSE, said))
        assert client.hear_close() == said


def test_5_5_1_a_reason_of_123_bytes_is_taken(port: int) -> None:
    said = struct.pack("!H", 1000) + "é".encode() * 61 + b"!"
    with RawClient(port) as client:
        client.say(frame(CLOSE, said))
        assert client.hear_close() == said


def test_5_5_1_what_comes_after_a_close_is_ignored(port: int) -> None:
    with RawClient(port) as client:
        client.say(frame(CLOSE, b"\x03\xe8"), frame(PING, b"late"), frame(TEXT, INIT), frame(3, b"nonsense"))
        opcode, data = client.hear()
        assert (opcode, data) == (CLOSE, b"\x03\xe8")


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_7_4_codes_that_may_not_be_sent_fail_the_connection(port: int, code: int) -> None:
    with RawClient(port) as client:
        client.say(frame(CLOSE, struct.pack("!H", code)))
        client.is_failed_with(1002)


def test_5_5_1_half_a_code_fails_the_connection(port: int) -> None:
    with RawClient(port) as client:
        client.say(frame(CLOSE, b"\x03"))
        client.is_failed_with(1002)


def test_7_1_5_the_servers_own_close_has_a_code_and_a_reason_and_waits_for_the_clients(port: int) -> None:
    with RawClient(port) as client:
        client.say(frame(TEXT, b"{}"))
        assert client.hear_message("error")["code"] == "invalid_message"
        opcode, data = client.hear()
        assert (opcode, data) == (CLOSE, struct.pack("!H", 1003) + b"invalid_init")
        client.say(frame(CLOSE, data[:2]))
        with pytest.raises((EOFError, ConnectionResetError)):
            client.hear()


def test_7_1_7_a_connection_that_is_cut_at_any_place_leaves_the_server_well(port: int) -> None:
    whole = frame(TEXT, INIT, fin=False) + frame(CONT, b" ")
    for end in range(0, len(whole), 7):
        with RawClient(port) as client:
            client.say(whole[:end])
    with RawClient(port) as client:
        client.say(frame(TEXT, INIT))
        client.hear_message("queue_status")


# --- section 8: UTF-8

_BAD_TEXT = [
    b"\xff",
    b"\x80",
    b"\xc3",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"fine until here \xce\xba\xe1\xbd\xb9\xcf",
]


@pytest.mark.parametrize("text", _BAD_TEXT)
def test_8_1_text_that_is_no_utf_8_fails_the_connection_whole_or_in_fragments(port: int, text: bytes) -> None:
    for frames in ([frame(TEXT, text)], [frame(TEXT, text[:1], fin=False), frame(CONT, text[1:])]):
        with RawClient(port) as client:
            client.say(*frames)
            client.is_failed_with(1007)


@pytest.mark.parametrize("reason", _BAD_TEXT)
def test_8_1_a_reason_that_is_no_utf_8_fails_the_connection(port: int, reason: bytes) -> None:
    with RawClient(port) as client:
        client.say(frame(CLOSE, b"\x03\xe8" + reason))
        client.is_failed_with(1007)


def test_8_1_a_character_may_be_cut_by_a_fragment(port: int) -> None:
    text = json.dumps({"type": "session_init_v2", "client_id": "\u00e4\u4e16\U0001f600"}, ensure_ascii=False).encode()
    with RawClient(port) as client:
        frames = [frame(CONT if index else TEXT, bytes([byte]), fin=False) for index, byte in enumerate(text)]
        client.say(*frames, frame(CONT))
        client.hear_message("queue_status")


def test_5_6_binary_frames_may_hold_anything_and_are_no_opening_message(port: int) -> None:
    with RawClient(port) as client:
        client.say(frame(BINARY, bytes(range(256))))
        assert client.hear_message("error")["code"] == "invalid_message"
        client.is_failed_with(1003)


# --- section 10.4: limits


def test_10_4_a_frame_that_is_too_large_is_refused_before_it_has_come(port: int) -> None:
    with RawClient(port) as client:
        client.say(bytes([FIN | TEXT, 0x80 | 127]) + struct.pack("!Q", MAX_OPENING_BYTES + 1) + b"mask")
        assert client.hear_message("error")["reason"] == "limit_exceeded"
        client.is_failed_with(1009)


def test_10_4_fragments_that_are_too_large_together_are_refused(port: int) -> None:
    with RawClient(port) as client:
        client.say(frame(TEXT, b"{", fin=False))
        client.say(bytes([FIN | CONT, 0x80 | 127]) + struct.pack("!Q", MAX_OPENING_BYTES) + b"mask")
        client.is_failed_with(1009)

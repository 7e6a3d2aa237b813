import http
import json
import os
import pty
import signal
import sys
import threading
from pathlib import Path

import av
import pytest
from websockets.sync.server import serve

from fastvideo.client import MediaFragment
from fastvideo.entrypoints.cli import stream_run
from fastvideo.entrypoints.cli.exit_codes import ExitCode
from fastvideo.entrypoints.cli.main import main
from fastvideo.entrypoints.cli.stream import initial_image, read_key, stream_url
from fastvideo.entrypoints.cli.stream_follower import StreamFollower
from fastvideo.entrypoints.streaming.protocol import (
    ErrorMessage,
    Ltx2SegmentComplete,
    PromptStatus,
    QueueStatus,
    SegmentCancelled,
)
from tests.entrypoints.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTVIDEO_API_KEY", raising=False)


def frames_and_sound(path):
    """Frames in a file, and whether it has sound."""
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0)), bool(container.streams.audio)


def stream(port, *words):
    return main(["stream", "--url", f"http://127.0.0.1:{port}", *words])


def typed(monkeypatch, text):
    """Standard input is a pipe with this text in it."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    monkeypatch.setattr(stream_run, "standard_input", lambda: reading)


def test_prompts_become_one_file_with_sound(live_server, capsys):
    assert stream(live_server.port, "a red ball", "a green star", "--output", "ball.mp4") == 0
    assert frames_and_sound("ball.mp4")[1]
    assert frames_and_sound("ball.mp4")[0] == 50
    said = capsys.readouterr()
    assert said.out.startswith("ball.mp4: 2 segments, 2.1 s, ")
    assert "segment 1: a green star" in said.err


def test_prompts_come_from_a_pipe_too(live_server, monkeypatch, capsys):
    typed(monkeypatch, "a red ball\n\n/what\na green star")
    assert stream(live_server.port, "-") == 0
    assert frames_and_sound("stream.mp4")[0] == 50
    assert "/what is no command" in capsys.readouterr().err


def test_on_a_terminal_what_is_typed_is_shown_and_steers(live_server, monkeypatch, capsys):
    ours, terminal = pty.openpty()
    monkeypatch.setattr(stream_run, "standard_input", lambda: terminal)
    script = [("connected", "a red ball\n"), ("segment 0: made", "a gre"), ("> a gre", "en star\n\x04")]

    def answer(text):
        if script and script[0][0] in text:
            os.write(ours, script.pop(0)[1].encode())

    screen = Terminal(answer)
    monkeypatch.setattr(sys, "stderr", screen)
    assert stream(live_server.port) == 0
    os.close(ours)
    os.close(terminal)
    assert frames_and_sound("stream.mp4")[0] == 50
    assert [line for line in screen.screen if line.startswith("segment")] == [
        "segment 0: a red ball",
        *(line for line in screen.screen if line.startswith("segment 0: made")),
        "segment 1: a green star",
        *(line for line in screen.screen if line.startswith("segment 1: made")),
    ]
    assert "segment 1 denoise 2/2 | 1.0 s, " in screen.getvalue()
    assert screen.screen[-1] == ""
    assert capsys.readouterr().out.startswith("stream.mp4: 2 segments")


def test_ctrl_c_ends_and_keeps_what_is_there(live_server, monkeypatch, capsys):
    reading, writing = os.pipe()
    monkeypatch.setattr(stream_run, "standard_input", lambda: reading)

    def interrupt(text):
        if "segment 0: made" in text and not interrupted:
            interrupted.append(True)
            signal.raise_signal(signal.SIGINT)

    interrupted = []
    os.write(writing, b"a red ball\n")
    monkeypatch.setattr(sys, "stderr", Terminal(interrupt))
    assert stream(live_server.port, "-") == ExitCode.INTERRUPTED
    os.close(writing)
    os.close(reading)
    assert frames_and_sound("stream.mp4")[0] == 25
    assert capsys.readouterr().out.startswith("stream.mp4: 1 segment, ")


def test_stop_ends_at_once(live_server, monkeypatch, capsys):
    typed(monkeypatch, "/stop\n")
    assert stream(live_server.port) == 0
    assert capsys.readouterr().out == ""
    assert not Path("stream.mp4").exists()


def test_a_stream_that_goes_on_by_itself_ends_after_so_many_segments(live_server, capsys):
    assert stream(live_server.port, "a red ball", "--extend", "--segments", "3", "--json") == 0
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    assert said.err == ""
    assert [one["event"] for one in events] == ["started", *["segment_started", "segment_complete"] * 3, "ended"]
    assert events[0]["model"] == "mock"
    assert (events[-1]["segments"], events[-1]["reason"]) == (3, "stop_requested")
    assert events[-1]["video_path"] == "stream.mp4"
    assert frames_and_sound("stream.mp4")[0] == 75


def test_prompts_beyond_the_segments_that_are_wanted_leave_nothing_in_the_file(live_server, capsys):
    assert stream(live_server.port, "a red ball", "a green star", "a blue ring", "--segments", "2") == 0
    assert frames_and_sound("stream.mp4")[0] == 50
    assert capsys.readouterr().out.startswith("stream.mp4: 2 segments")


def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost_or_doubled(live_server, capsys):
    with live_server.cutting(after_bytes=9000) as port:
        assert stream(port, "a red ball", "a green star") == 0
    assert frames_and_sound("stream.mp4")[0] == 50
    assert "connected again" in capsys.readouterr().err


def test_where_nobody_answers_the_exit_code_says_so(capsys):
    assert stream(1, "a red ball") == ExitCode.NO_ANSWER
    assert "no server answers at ws://127.0.0.1:1/v1/stream" in capsys.readouterr().err


def test_where_the_key_is_refused_the_exit_code_says_so(tmp_path, capsys):
    keys = []

    def refuse(connection, request):
        keys.append(request.headers["Authorization"])
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, '{"error": {"message": "This key is not known."}}')

    (tmp_path / "key").write_text("fv-secret\n")
    with serve(lambda connection: None, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        code = stream(server.socket.getsockname()[1], "a", "--api-key-file", "key")
        server.shutdown()
        thread.join(10)
    assert code == ExitCode.REFUSED
    assert keys == ["Bearer fv-secret"]
    assert capsys.readouterr().err == "fastvideo stream: This key is not known.\n"


def test_a_preset_that_the_server_does_not_know_is_refused(live_server, capsys):
    assert stream(live_server.port, "a", "--preset", "nonsense") == ExitCode.REFUSED
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "--segments", "0"], "--segments of at least 1, got 0"),
        (["a", "--output", "there.mp4"], "there.mp4 is there already"),
        (["-", "a"], "either - or prompts"),
        (["a", "--url", "ftp://x"], "expected --url such as"),
        (["a", "--image", "clip.gif"], "expected --image to be a .png"),
        (["a", "--image", "absent.png"], "absent.png"),
        (["a", "--api-key-file", "there.mp4"], "to hold an API key and nothing else"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_1(words, said, capsys):
    Path("there.mp4").touch()
    assert main(["stream", *words]) == ExitCode.FAILED
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h:1", "ws://h:1/v1/stream"),
        ("https://h/", "wss://h/v1/stream"),
        ("h:1", "ws://h:1/v1/stream"),
        ("ws://h/other", "ws://h/other"),
    ],
)
def test_a_servers_address_is_enough(url, expected):
    assert stream_url(url) == expected


def test_an_image_travels_with_its_type(tmp_path):
    (tmp_path / "first.PNG").write_bytes(b"\x89PNG")
    assert initial_image(tmp_path / "first.PNG") == {"mime": "image/png", "name": "first.PNG", "data": "iVBORw=="}


def test_an_error_about_a_key_file_does_not_show_the_key(tmp_path):
    (tmp_path / "key").write_text("fv-secret and more")
    with pytest.raises(ValueError, match="nothing else") as caught:
        read_key(tmp_path / "key")
    assert "fv-secret" not in str(caught.value)


def complete(index=0):
    return Ltx2SegmentComplete(segment_idx=index, generation_time_ms=1.0)


def test_a_stream_is_done_when_its_prompts_are_made_dropped_refused_or_failed():
    follower = StreamFollower()
    for name in "abcd":
        follower.asked(name)
    follower.input_ended = True
    for event in (
        *(PromptStatus(request_id="a", status="applied"), complete()),
        *(PromptStatus(request_id="b", status="applied"), SegmentCancelled(segment_idx=1)),
        PromptStatus(request_id="c", status="rejected", reason="prompt_blocked"),
        PromptStatus(request_id="d", status="applied"),
    ):
        assert not follower.done
        follower.hear(event)
    follower.hear(ErrorMessage(code="invalid_message", message="Another prompt.", reason="prompt_blocked"))
    assert not follower.done
    follower.hear(ErrorMessage(code="worker_failed", message="No luck."))
    assert follower.done


def test_while_somebody_may_still_type_nothing_is_done():
    follower = StreamFollower()
    assert not follower.done
    follower.input_ended = True
    assert follower.done


def test_the_status_says_what_is_done_now():
    follower = StreamFollower()
    follower.hear(MediaFragment(0, "s", bytes(2048)))
    note = follower.hear(QueueStatus(position=2, queue_depth=3, eta_ms=4000.0))
    assert note.text == "waiting for a worker, 2 ahead, about 4 s"
    assert follower.status == "waiting, 2 ahead | 0.0 s, 2 KiB"

"""The page against the mock server, in Chromium: what a person sees, hears and does."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

MOCK = ("-m", "fastvideo.entrypoints.streaming.mock_server", "--port", "0")
FPS = 24
FRAMES = 73
SEGMENT_S = FRAMES / FPS


@pytest.fixture(scope="module")
def live_url(start_server: Callable[..., Any]) -> str:
    """Faster than playback, in a size that two busy cores decode in time."""
    size = ("--width", "512", "--height", "288", "--num-frames", str(FRAMES), "--steps", "4")
    return str(start_server(*MOCK, *size, "--rtf", "0.4", "--segment-cap", "30").url)


@pytest.fixture(scope="module")
def slow_url(start_server: Callable[..., Any]) -> str:
    """Seconds per segment, to act while one is made."""
    return str(start_server(*MOCK, "--sleep-ms", "3000", "--steps", "12", "--segment-cap", "30").url)


@pytest.fixture(scope="module")
def quick_url(start_server: Callable[..., Any]) -> str:
    """One-second segments at once."""
    return str(start_server(*MOCK, "--steps", "2", "--segment-cap", "30").url)


def test_the_first_picture_comes_soon_after_enter(quick_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(quick_url)
    assert page.read("document.body.dataset.phase") == "idle"
    page.say("A kite over the dunes")
    page.until("__fastvideo.session.firstFrame_ms !== null")
    assert page.session["firstFrame_ms"] < 5000
    assert page.page.inner_text("#figure-latency") != "–"
    page.until("document.title === '▶ Live · FastVideo' || __fastvideo.player.state === 'idle'")


def test_a_download_holds_everything_as_one_valid_mp4(
    quick_url: str, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(quick_url)
    page.say("one")
    page.say("two")
    page.until("__fastvideo.session.segments[1]?.status === 'complete'")
    page.page.click("#stop")
    page.until("__fastvideo.session.phase === 'ended'")
    with page.page.expect_download() as download:
        page.page.click("#download")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".mp4"
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        times = [frame.pts for frame in container.decode(video=0)]
    assert len(times) == 2 * 24
    assert all(later > earlier for earlier, later in pairwise(times))


def test_escape_cancels_the_running_segment_and_the_next_prompt_plays(
    slow_url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(slow_url)
    page.say("never finished")
    page.until("__fastvideo.session.segments[0]?.step >= 2")
    page.page.keyboard.press("Escape")
    page.until("__fastvideo.session.segments[0].status === 'cancelled'", 5)
    page.say("made instead")
    page.until("__fastvideo.session.segments.at(-1).prompt === 'made instead'", 5)
    page.until("__fastvideo.player.position_s > 0.5")


def test_paused_generation_keeps_prompts_until_it_goes_on(quick_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(quick_url)
    page.say("first")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    page.page.click("#pause-generation")
    page.say("kept for later")
    page.until("__fastvideo.session.prompts[1]?.state === 'pending'")
    assert "kept for later\nWaits until generation resumes" in page.page.inner_text("#queue")
    page.until("__fastvideo.player.state === 'idle'")
    assert page.page.inner_text("#hint") == "Generation is paused."
    assert len(page.session["segments"]) == 1
    page.page.click("#pause-generation")
    page.until("__fastvideo.session.segments[1]?.status === 'complete'")
    assert {prompt["state"] for prompt in page.session["prompts"]} == {"applied"}


def test_stop_ends_the_stream_and_one_button_starts_again(quick_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(quick_url)
    page.say("a short story")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    page.page.click("#stop")
    page.until("__fastvideo.player.state === 'ended'")
    assert page.session["ending"] == {"kind": "stop_requested", "timeout_s": None, "closeCode": 1000}
    assert page.page.inner_text("#cover-title") == "Stopped"
    page.page.click("#cover-again")
    page.until("__fastvideo.session.phase === 'active' && __fastvideo.player.state === 'playing'")
    assert page.session["segments"][0]["prompt"] == "a short story"


def test_a_stream_goes_on_from_a_snapshot_file(quick_url: str, open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(quick_url)
    page.say("one")
    page.say("two")
    page.until("__fastvideo.session.segments[1]?.status === 'complete'")
    with page.page.expect_download() as download:
        page.page.click("#save-snapshot")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert json.loads(path.read_text())["state"]["payload"]["segment_index"] == 1

    again = open_page(quick_url)
    again.watch_frames()
    again.page.click("#advanced-toggle")
    again.page.set_input_files("#snapshot-file", path)
    again.until("__fastvideo.state.snapshot !== null")
    assert again.page.input_value("#prompt") == "two"
    again.say("three")
    again.until("__fastvideo.player.state === 'idle'")
    assert {strip[0] for strip in again.read("__frames.seen.map((one) => one.strip)")} == {2}
    assert again.read("__fastvideo.state.snapshot") is None


def test_a_preset_plays_its_story(quick_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(quick_url)
    page.until("__fastvideo.state.presets.length > 0")
    preset = page.read("__fastvideo.state.presets.find((one) => one.toggles.auto_extension)")
    page.page.click("[data-opens=library]")
    page.page.click(f"button[aria-label='Play: {preset['label']}']")
    page.until("__fastvideo.session.segments[1]?.status === 'complete'")
    segments = page.session["segments"]
    assert [segment["prompt"] for segment in segments[:2]] == preset["prompts"][:2]
    assert {segment["source"] for segment in segments[:2]} == {"curated"}


def test_scenes_are_moved_edited_and_removed_while_the_story_plays(
    slow_url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(slow_url, keep_going=True)
    page.page.click("[data-opens=library]")
    page.page.click("#library-new")
    for scene in ("one", "two", "three", "four"):
        page.page.fill("#scene-new", scene)
        page.page.press("#scene-new", "Enter")
    page.page.click("#play-story")
    page.until("__fastvideo.session.segments[0]?.step >= 1")
    assert page.page.get_attribute("#scenes li:nth-child(1)", "data-state") == "making"
    assert page.page.is_hidden("#scenes li:nth-child(1) .scene__grip"), "what is being made stays where it is"
    page.page.click("#pause-generation")

    page.page.focus("#scenes li:nth-child(4) .scene__grip")
    page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("ArrowUp")
    page.until("__fastvideo.state.story.scenes.map((one) => one.text).join() === 'one,four,two,three'")
    assert page.read("document.activeElement.closest('li').dataset.state") == "next"

    page.page.hover("#scenes li:nth-child(4)")
    grip = page.page.locator("#scenes li:nth-child(4) .scene__grip").bounding_box()
    two = page.page.locator("#scenes li:nth-child(3)").bounding_box()
    page.page.mouse.move(grip["x"] + 5, grip["y"] + 5)
    page.page.mouse.down()
    page.page.mouse.move(grip["x"] + 5, two["y"] + 5, steps=4)
    page.until("document.querySelector('#scenes li:nth-child(3)').style.translate !== ''")
    page.page.mouse.up()
    page.until("__fastvideo.state.story.scenes.map((one) => one.text).join() === 'one,four,three,two'")

    page.page.click("#scenes li:nth-child(2) .scene__text")
    page.page.keyboard.type(" and a half")
    page.page.keyboard.press("Enter")
    page.page.hover("#scenes li:nth-child(3)")
    page.page.click("#scenes li:nth-child(3) .scene__remove")
    page.page.hover("#scenes li:nth-child(3)")
    page.page.click("#scenes li:nth-child(3) .scene__remove")
    page.until("__fastvideo.state.story.scenes.map((one) => one.text).join() === 'one,four and a half'")
    page.page.keyboard.press("Control+Z")
    page.until("document.querySelector('#announcer').textContent === 'Put back: “two”'")
    assert page.page.get_attribute("#board-undo", "aria-label") == "Put back “three”"
    page.page.click("#pause-generation")
    page.until("__fastvideo.session.segments[1]?.prompt === 'four and a half'")
    page.page.click("#cancel-segment")
    page.until("__fastvideo.session.segments[2]?.prompt === 'two'")


def test_own_prompts_wait_in_the_page_can_be_changed_and_say_when_they_are_on_screen(
    quick_url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(quick_url)
    page.say("first")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    page.page.click("#pause-generation")
    for prompt in ("second", "third", "fourth"):
        page.say(prompt)
    page.until("__fastvideo.session.prompts[1]?.state === 'pending'")
    page.page.click("#queue li:last-child .scene__text")
    page.page.keyboard.press("Control+A")
    page.page.keyboard.type("fourth, changed")
    page.page.keyboard.press("Enter")
    page.page.focus("#queue li:last-child .scene__grip")
    page.page.keyboard.press("ArrowUp")
    page.page.hover("#queue li:last-child")
    page.page.click("#queue li:last-child .scene__remove")
    page.page.click("#pause-generation")
    page.until("__fastvideo.session.segments[2]?.status === 'complete'")
    assert [segment["prompt"] for segment in page.session["segments"]] == ["first", "second", "fourth, changed"]
    page.until("document.querySelector('#queue')?.innerText.includes('fourth, changed\\nOn screen now')")
    page.until("__fastvideo.session.prompts.at(-1).latency_ms > 0")
    page.until("document.querySelector('#queue-section').hidden")


def test_a_click_on_a_segment_goes_back_while_more_arrives_and_live_returns(
    quick_url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(quick_url)
    page.say("one")
    page.say("two")
    page.until("document.querySelectorAll('.segment[data-pictured]').length === 2")
    pictures = page.read("[...document.querySelectorAll('.segment canvas')].map((one) => one.toDataURL())")
    assert pictures[0] != pictures[1]
    page.page.click(".segment__button >> nth=0")
    page.page.click("#play")
    page.until("__fastvideo.player.position_s < 2 && !__fastvideo.player.live")
    page.say("three")
    page.until("__fastvideo.session.segments[2]?.status === 'complete' && __fastvideo.player.end_s > 2.9")
    page.page.click("#go-live")
    page.until("__fastvideo.player.live && __fastvideo.player.position_s > 1.9")
    page.until("document.querySelector('.segment[data-playing] button').ariaLabel.startsWith('Segment 3')")
    assert (page.player["jumps"], page.player["evictions"]) == (0, 0)
    assert page.page.locator(".take").count() == 3


def test_keep_going_makes_segments_without_being_asked(quick_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(quick_url, keep_going=True)
    page.say("a river")
    page.until("__fastvideo.session.segments[1]?.source === 'auto_extension'")
    page.page.focus("#keep-going")
    page.page.keyboard.press("Space")
    assert page.read("__fastvideo.state.toggles.keepGoing") is False
    page.page.click("label:has(#keep-going)")
    made = len(page.session["segments"])
    page.until(f"__fastvideo.session.segments[{made}]?.source === 'auto_extension'")


def test_what_the_server_refuses_is_said_in_words_and_the_stream_goes_on(
    quick_url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(quick_url)
    page.say("fine")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    page.page.click("#advanced-toggle")
    # The page knows the server's limits and would keep to them.
    page.read("document.querySelector('#steps').removeAttribute('max')")
    page.page.fill("#steps", "1000000000")
    page.say("too much")
    page.page.wait_for_selector(".notice")
    assert "That is more than this server allows" in page.page.inner_text(".notice")
    page.until("__fastvideo.session.prompts[1]?.state === 'rejected'")
    page.page.click("#queue [data-state=refused] .scene__remove")
    page.page.fill("#steps", "")
    page.say("fine again")
    page.until("__fastvideo.session.segments[1]?.status === 'complete'")


def test_a_picture_that_is_none_is_refused_with_what_to_do(
    quick_url: str, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    fake = tmp_path / "fake.png"
    fake.write_bytes(b"no picture at all")
    page = open_page(quick_url)
    page.page.set_input_files("#image-file", fake)
    page.until("__fastvideo.state.image !== null")
    page.say("start from it")
    page.until("__fastvideo.session.phase === 'ended'")
    assert page.page.inner_text("#cover-title") == "The start image could not be used"
    page.page.click(".attachment button")
    page.page.click("#cover-again")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    assert page.session["segments"][0]["prompt"] == "start from it"


def test_a_file_that_is_no_snapshot_is_refused_before_anything_is_sent(
    quick_url: str, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "notes.json"
    wrong.write_text('["not", "a", "snapshot"]')
    page = open_page(quick_url)
    page.page.set_input_files("#snapshot-file", wrong)
    page.page.wait_for_selector(".notice")
    assert "it holds no session state" in page.page.inner_text(".notice")
    assert page.session["phase"] == "idle"


def test_a_server_that_dies_leaves_what_was_seen_and_a_way_back(
    start_server: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    # The page tries to come back for as long as the server would wait for it.
    serve = (
        "-m",
        "fastvideo.entrypoints.cli.main",
        "serve",
        "--config",
        "configs/serve_mock.yaml",
        "--server.port",
        "0",
    )
    short = ("--default_request.sampling.num_frames", "24", "--streaming.resume.grace_seconds", "1")
    server = start_server(*serve, *short)
    page = open_page(server.url)
    page.say("before the crash")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    server.kill()
    page.until("__fastvideo.player.state === 'ended'")
    assert page.session["ending"]["kind"] == "lost"
    assert page.page.is_enabled("#download")
    page.page.click("#cover-again")
    page.until("__fastvideo.session.ending?.kind === 'unreachable'")
    assert page.page.inner_text("#cover-title") == "Can't reach the server"
    # The browser itself reports the refused connection.
    assert all("ERR_CONNECTION_REFUSED" in problem for problem in page.problems)
    page.problems.clear()


def test_the_page_is_worked_with_keys(live_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(live_url)
    keys = page.page.keyboard
    page.say("first thought")
    page.until("__fastvideo.player.state === 'playing'")
    keys.press("ArrowUp")
    assert page.page.input_value("#prompt") == "first thought"
    keys.press("ArrowDown")
    assert page.page.input_value("#prompt") == ""

    page.read("document.activeElement.blur()")
    keys.press("Space")
    page.until("__fastvideo.player.state === 'paused' && document.querySelector('video').paused")
    keys.press("ArrowLeft")
    page.until("__fastvideo.player.live === false")
    keys.press("Space")
    page.until("__fastvideo.player.state === 'playing'")
    keys.press("l")
    page.until("__fastvideo.player.live === true")
    keys.press("m")
    page.until("__fastvideo.player.muted === true")
    keys.press("m")
    page.until("__fastvideo.player.muted === false")
    keys.press("?")
    assert page.page.is_visible("#help")
    keys.press("Escape")
    assert page.page.is_hidden("#help")
    keys.press("/")
    assert page.read("document.activeElement.id") == "prompt"
    keys.type("m / ?")
    assert page.page.input_value("#prompt") == "m / ?"
    assert page.player["muted"] is False


def test_without_leave_to_play_sound_the_picture_plays_and_offers_it(
    quick_url: str, open_page: Callable[..., Any]
) -> None:
    refuse = """
      const play = HTMLMediaElement.prototype.play;
      HTMLMediaElement.prototype.play = function () {
        return this.muted ? play.call(this) : Promise.reject(new DOMException('no gesture', 'NotAllowedError'));
      };"""
    page = open_page(quick_url, init_script=refuse)
    page.say("silent film")
    page.page.wait_for_selector("#unmute", state="visible")
    page.until("__fastvideo.player.position_s > 0.3")
    assert page.player["mutedByBrowser"] is True
    page.page.click("#unmute")
    page.until("!__fastvideo.player.muted && document.querySelector('#unmute').hidden")


def test_a_full_media_buffer_loses_what_is_past_and_playback_goes_on(
    live_url: str, open_page: Callable[..., Any]
) -> None:
    small = """
      const append = SourceBuffer.prototype.appendBuffer;
      SourceBuffer.prototype.appendBuffer = function (data) {
        const ranges = this.buffered;
        const held = ranges.length ? ranges.end(ranges.length - 1) - ranges.start(0) : 0;
        if (held > 4) throw new DOMException('no room', 'QuotaExceededError');
        return append.call(this, data);
      };"""
    page = open_page(live_url, init_script=small)
    for prompt in ("one", "two", "three"):
        page.say(prompt)
    page.until(f"__fastvideo.player.position_s > {3 * SEGMENT_S - 0.2}", 60)
    player = page.player
    assert player["evictions"] > 0
    assert player["start_s"] > 1
    assert player["end_s"] == pytest.approx(3 * SEGMENT_S, abs=0.1)


def test_a_managed_source_gets_media_only_while_it_wants_some(quick_url: str, open_page: Callable[..., Any]) -> None:
    managed = """
      window.ManagedMediaSource = class extends MediaSource {
        constructor() {
          super();
          window.__source = this;
          this.addEventListener('sourceopen', () => setTimeout(() => this.dispatchEvent(new Event('endstreaming'))));
        }
      };"""
    page = open_page(quick_url, init_script=managed)
    page.say("held back")
    page.until("__fastvideo.session.segments[0]?.status === 'complete'")
    assert page.player["pending_bytes"] > 0
    assert page.player["state"] == "starting"
    assert page.read("document.querySelector('video').disableRemotePlayback") is True
    page.read("__source.dispatchEvent(new Event('startstreaming'))")
    page.until("__fastvideo.player.position_s > 0.5 && __fastvideo.player.pending_bytes === 0")


def test_a_hole_in_the_media_is_jumped_over(live_url: str, open_page: Callable[..., Any]) -> None:
    # Loses the fragments number 6 and 7 on their way.
    lossy = """
      const NativeSocket = WebSocket;
      window.WebSocket = class extends NativeSocket {
        set onmessage(handler) {
          let fragments = 0;
          super.onmessage = (event) => {
            if (event.data instanceof ArrayBuffer) {
              fragments += 1;
              if (fragments === 6 || fragments === 7) return;
            }
            handler(event);
          };
        }
      };"""
    page = open_page(live_url, init_script=lossy)
    page.say("a stream with a hole")
    page.until(f"__fastvideo.player.position_s > {SEGMENT_S - 0.2}")
    assert page.player["jumps"] >= 1
    assert page.player["stalls"] == 0


def test_a_narrow_dark_page_fits_and_follows_the_theme_button(quick_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(quick_url, width=400, height=800, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.read(ground)
    page.page.click("#theme")
    assert page.read(ground) != dark
    page.page.reload()
    assert page.read(ground) != dark, "the choice lasts"
    page.say("small screen")
    page.until("__fastvideo.player.state === 'playing'")
    assert page.read("document.documentElement.scrollWidth") == 400
    for control in ("#prompt", "#send", "#play", "#mute", "#keep-going", "#advanced-toggle"):
        box = page.page.locator(control).bounding_box()
        assert box["x"] >= 0, control
        assert box["x"] + box["width"] <= 400, control


def test_media_keys_and_the_page_s_own_button_agree(live_url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(live_url)
    page.say("played by others")
    page.until("__fastvideo.player.state === 'playing'")
    # What a media key or the browser does to the element counts as the viewer's wish.
    page.read("document.querySelector('video').pause()")
    page.until("__fastvideo.player.wanted === false")
    page.read("void document.querySelector('video').play()")
    page.until("__fastvideo.player.state === 'playing'")
    # The last of several quick presses wins, before the element's own events arrive.
    page.read("for (let press = 0; press < 4; press += 1) document.querySelector('#play').click()")
    page.until("__fastvideo.player.state === 'playing' && !document.querySelector('video').paused")
    page.read("for (let press = 0; press < 3; press += 1) document.querySelector('#play').click()")
    page.read("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.player["state"] == "paused"
    assert page.read("document.querySelector('video').paused") is True

"""What Chromium makes of a session's messages: one gapless range, every frame, and sound without a seam."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser

SEGMENTS, FRAMES = 3, 25
SAMPLES = FRAMES * 2_000

# Appends every message in order, as a page would, and records what is heard while it plays.
PLAY = """
async ({mime, messages}) => {
  const video = document.createElement('video');
  document.body.append(video);
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((done) => source.addEventListener('sourceopen', done, {once: true}));
  const buffer = source.addSourceBuffer(mime);
  for (const message of messages) {
    buffer.appendBuffer(Uint8Array.from(atob(message), (c) => c.charCodeAt(0)));
    await new Promise((done, failed) => {
      buffer.addEventListener('updateend', done, {once: true});
      buffer.addEventListener('error', () => failed(new Error('append failed')), {once: true});
    });
  }
  source.endOfStream();
  const ranges = [...Array(video.buffered.length).keys()].map((i) => [video.buffered.start(i), video.buffered.end(i)]);

  const context = new AudioContext({sampleRate: 48000});
  const module = `registerProcessor('tap', class extends AudioWorkletProcessor {
    process([input]) { if (input.length) this.port.postMessage(input[0].slice()); return true; }
  })`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([module], {type: 'text/javascript'})));
  const tap = new AudioWorkletNode(context, 'tap');
  const heard = [];
  tap.port.onmessage = ({data}) => heard.push(data);
  context.createMediaElementSource(video).connect(tap).connect(context.destination);
  let waiting = 0;
  await video.play();
  video.addEventListener('waiting', () => { waiting += 1; });
  await new Promise((done) => video.addEventListener('ended', done, {once: true}));
  const samples = new Float32Array(heard.reduce((sum, block) => sum + block.length, 0));
  heard.reduce((at, block) => { samples.set(block, at); return at + block.length; }, 0);
  const bytes = new Uint8Array(samples.buffer);
  let text = '';
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return {
    ranges, waiting, duration: source.duration, sound: btoa(text),
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
  };
}
"""


def play(chromium: Browser, mime: str, messages: list[bytes]) -> dict[str, Any]:
    page = chromium.new_page()
    try:
        page.route("**/*", lambda route: route.fulfill(body="<!doctype html><body>", content_type="text/html"))
        page.goto("http://localhost/")
        texts = [base64.b64encode(message).decode() for message in messages]
        result: dict[str, Any] = page.evaluate(PLAY, {"mime": mime, "messages": texts})
    finally:
        page.close()
    result["sound"] = np.frombuffer(base64.b64decode(result["sound"]), np.float32)
    return result


def place_of(part: NDArray[np.float32], sound: NDArray[np.float32]) -> int:
    """Where in ``sound`` a part of the source is heard: the peak of their correlation."""
    size = 1 << (len(sound) + len(part)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(part, size)), size)
    return int(np.argmax(correlation[: len(sound)]))


@pytest.mark.browser
def test_a_session_plays_as_one_clip_with_sound_that_has_no_seam(
    chromium: Browser, coded_session: Any, signal: Any
) -> None:
    source = signal(SEGMENTS * SAMPLES)
    session = coded_session()
    messages = []
    for index in range(SEGMENTS):
        part = source[:, index * SAMPLES : (index + 1) * SAMPLES]
        fragments = session.add(FRAMES, part, last=index == SEGMENTS - 1)
        messages += [session.init_segments[-1], *(fragment.data for fragment in fragments)]
    result = play(chromium, session.mime, messages)

    end_s = SEGMENTS * FRAMES / 24
    assert result["ranges"] == [[0, pytest.approx(end_s, abs=1e-4)]]
    assert result["duration"] == pytest.approx(end_s, abs=1e-4)
    assert result["waiting"] == 0
    assert result["frames"] == SEGMENTS * FRAMES

    # Every tenth of a second of the source is heard at the same distance from the first, over the joins too.
    heard = result["sound"]
    starts = range(9_600, SEGMENTS * SAMPLES - 9_600, 4_800)
    places = {place_of(source[0, start : start + 4_800], heard) - start for start in starts}
    assert len(places) == 1
    (offset,) = places
    around_joins = [slice(join - 2_048, join + 2_048) for join in range(SAMPLES, SEGMENTS * SAMPLES, SAMPLES)]
    for around in around_joins:
        error = heard[around.start + offset : around.stop + offset] - source[0, around]
        assert np.std(error) < 0.2 * np.std(source[0, around])

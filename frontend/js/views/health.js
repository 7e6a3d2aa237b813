import { byId, setText } from "../dom.js";
import { counted, milliseconds, secondsShort, times } from "../format.js";
import { speed } from "../segments.js";
import { isOpen } from "../session.js";

/** One sample a second; the curve shows the last minute. */
const SAMPLES = 60;
const WIDTH = 240;
const HEIGHT = 40;
/** The curve's height stands for at least this much, so that small changes stay small. */
const FULL_SCALE_S = 8;

/**
 * @param {number[]} samples seconds of buffer, oldest first
 * @returns {{line: string, area: string}} SVG path data in a 240x40 box; the newest sample is at the right
 */
export function sparkPath(samples) {
  if (samples.length < 2) return { line: "", area: "" };
  const full = Math.max(FULL_SCALE_S, ...samples);
  const step = WIDTH / (SAMPLES - 1);
  const first = WIDTH - step * (samples.length - 1);
  const points = samples.map((value, index) => `${(first + index * step).toFixed(1)} ${(HEIGHT - 2 - (value / full) * (HEIGHT - 6)).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  return { line, area: `${line}L${WIDTH} ${HEIGHT}L${first.toFixed(1)} ${HEIGHT}Z` };
}

/**
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../media/player.js").Player} player
 */
export function showHealth(store, player) {
  const line = byId("spark-line", SVGPathElement);
  const area = byId("spark-area", SVGPathElement);
  /** @type {number[]} */
  let samples = [];
  let started_ms = 0;

  setInterval(() => {
    const { session } = store.state;
    if (!isOpen(session)) return;
    if (session.started_ms !== started_ms) {
      started_ms = session.started_ms;
      samples = [];
    }
    if (session.firstFrame_ms !== null) samples = [...samples, player.stats.ahead_s].slice(-SAMPLES);
    const path = sparkPath(samples);
    line.setAttribute("d", path.line);
    area.setAttribute("d", path.area);
  }, 1000);

  /** @param {string} id @param {string} text @param {"" | "good" | "warn" | "bad"} [tone] */
  const figure = (id, text, tone = "") => {
    const element = byId(id, HTMLElement);
    setText(element, text);
    element.dataset.tone = tone;
  };

  store.watch(
    (state) => state.playback,
    (playback) => {
      const buffered = playback.state !== "empty" && playback.end_s > 0;
      figure("figure-buffer", buffered ? secondsShort(playback.ahead_s) : "–");
      figure("figure-stalls", String(playback.stalls), playback.stalls === 0 ? "" : "warn");
      setText(byId("health-aside", HTMLElement), playback.dropped_frames > 0 ? `${counted(playback.dropped_frames, "frame")} dropped` : "");
    },
  );
  store.watch(
    (state) => state.session,
    (session) => {
      const factor = speed(session.segments);
      const latency_ms = session.latency_ms ?? session.firstFrame_ms;
      figure("figure-latency", latency_ms === null ? "–" : milliseconds(latency_ms));
      figure("figure-speed", factor === null ? "–" : times(factor), factor === null ? "" : factor >= 1 ? "good" : "warn");
      figure("figure-late", session.late.count === 0 ? "0" : `${session.late.count} · ${milliseconds(session.late.last_ms)}`, session.late.count === 0 ? "" : "warn");
      figure("figure-trip", session.roundTrip_ms === null ? "–" : milliseconds(session.roundTrip_ms));
    },
  );
}

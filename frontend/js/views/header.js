import { byId, setText } from "../dom.js";
import { runningSegment } from "../session.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {{tone: "quiet" | "good" | "live" | "busy" | "bad", text: string, title: string}} Summary
 */

/** @type {Record<string, string>} what isn't a proper end */
const ENDINGS = { lost: "Disconnected", unreachable: "Offline", refused: "Not started", error: "Failed" };

/**
 * The state of everything in two words, and the same for the window's title.
 * @param {Pick<AppState, "session" | "playback">} state
 * @returns {Summary}
 */
export function summarize({ session, playback }) {
  if (session.reconnecting) return { tone: "busy", text: "Reconnecting", title: "Reconnecting" };
  const ahead = session.queue?.ahead ?? 0;
  switch (session.phase) {
    case "idle":
      return { tone: "quiet", text: "Ready", title: "" };
    case "connecting":
      return { tone: "busy", text: "Connecting", title: "Connecting" };
    case "queued":
      return { tone: "busy", text: ahead === 0 ? "Next in line" : `${ahead} ahead of you`, title: ahead === 0 ? "Next in line" : `${ahead} ahead` };
    case "starting":
      return { tone: "busy", text: "Starting", title: "Starting" };
    case "active":
      return whileActive(session, playback);
    case "ended": {
      const text = ENDINGS[session.ending?.kind ?? "lost"] ?? "Ended";
      return { tone: text === "Ended" ? "quiet" : "bad", text, title: text };
    }
  }
}

/**
 * @param {AppState["session"]} session
 * @param {AppState["playback"]} playback
 * @returns {Summary}
 */
function whileActive(session, playback) {
  if (playback.state === "paused") return { tone: "good", text: "Paused", title: "Paused" };
  if (playback.state === "stalled") return { tone: "busy", text: "Catching up", title: "Catching up" };
  if (playback.state === "playing") return { tone: "live", text: "Live", title: "▶ Live" };
  if (runningSegment(session)) return { tone: "busy", text: "Generating", title: "Generating" };
  return { tone: "good", text: "Your turn", title: "Your turn" };
}

/**
 * What is said aloud on the way to a stream, and when it breaks. Playback changes too often to be told of.
 * @param {Pick<AppState, "session" | "playback">} state
 * @returns {string} empty for nothing
 */
export function spokenState(state) {
  const { phase, reconnecting } = state.session;
  return reconnecting || phase === "connecting" || phase === "queued" || phase === "starting" ? summarize(state).text : "";
}

/** @param {import("../store.js").Store<AppState>} store */
export function showHeader(store) {
  const announcer = byId("announcer", HTMLElement);
  const status = byId("status", HTMLElement);
  const text = byId("status-text", HTMLElement);
  const model = byId("model", HTMLElement);

  store.watch(
    (state) => JSON.stringify(summarize(state)),
    (_, state) => {
      const summary = summarize(state);
      status.dataset.tone = summary.tone;
      setText(text, summary.text);
      document.title = summary.title ? `${summary.title} · FastVideo` : "FastVideo";
    },
  );
  store.watch(spokenState, (words) => {
    if (words) setText(announcer, words);
  });
  store.watch(
    (state) => state.session.worker?.model ?? state.info?.model_id ?? "",
    (name) => {
      model.hidden = name === "";
      setText(model, name);
    },
  );
  store.watch(
    (state) => state.session.phase,
    (phase) => {
      document.body.dataset.phase = phase;
    },
  );
}

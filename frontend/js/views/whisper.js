import { byId, setFlag, setText } from "../dom.js";
import { milliseconds } from "../format.js";
import { blockedWords, failureWords } from "../wording.js";

/** @typedef {import("../session.js").Session} Session */

const SHOWN_MS = 5000;
const FADED_MS = 400;
/** Late media is told of at most this often. */
const LATE_EVERY_MS = 15_000;

/**
 * What is worth a quiet word between two moments of a session; nothing needs to be done about any of it.
 * @param {Session} before
 * @param {Session} after
 * @returns {{text: string, late: boolean} | null}
 */
export function whisperOf(before, after) {
  if (after.phase !== "active") return null;
  if (after.late.count > before.late.count) return { text: `The picture had to wait: media came ${milliseconds(after.late.last_ms)} late`, late: true };
  if (after.blocked !== before.blocked && before.phase === "active") {
    if (after.blocked !== null) return { text: blockedWords(after.blocked), late: false };
    if (before.blocked !== null) return { text: "Generation goes on", late: false };
  }
  const newest = after.segments.at(-1);
  const failure = newest?.enhancement?.applied === false ? newest.enhancement.reason : null;
  if (newest && failure && newest.serial !== before.segments.at(-1)?.serial) {
    return { text: `Made from the words as they are. ${failureWords(failure)}`, late: false };
  }
  return null;
}

/**
 * Quiet words over the picture, which leave by themselves.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 */
export function showWhispers(store) {
  const element = byId("whisper", HTMLElement);
  let before = store.state.session;
  let late_ms = -LATE_EVERY_MS;
  let timer = 0;
  store.watch(
    (state) => state.session,
    (session) => {
      const whisper = session.started_ms === before.started_ms ? whisperOf(before, session) : null;
      before = session;
      const now_ms = performance.now();
      if (!whisper || (whisper.late && now_ms - late_ms < LATE_EVERY_MS)) return;
      if (whisper.late) late_ms = now_ms;
      setText(element, whisper.text);
      setFlag(element, "data-on", true);
      clearTimeout(timer);
      timer = setTimeout(() => {
        setFlag(element, "data-on", false);
        // Nobody should come upon words that are not to be seen.
        timer = setTimeout(() => setText(element, ""), FADED_MS);
      }, SHOWN_MS);
    },
  );
}

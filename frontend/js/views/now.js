import { byId, setFlag, setIcon, setText } from "../dom.js";
import { wait } from "../format.js";
import { runningSegment } from "../session.js";
import { blockedWords, endingWords, sourceWords, stageWords } from "../wording.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {{title: string, aside: string, prompt: string, done: number | null, steps: [number, number]}} Now
 */

const COUNTED_CAP = 20;

/**
 * What the session is doing.
 * @param {Pick<AppState, "session" | "info" | "toggles">} state
 * @returns {Now}
 */
export function nowText({ session, info, toggles }) {
  const quiet = { aside: "", prompt: "", done: null, steps: /** @type {[number, number]} */ ([0, 0]) };
  if (session.ending) {
    const { title, detail } = endingWords(session.ending, session.problem);
    return { ...quiet, title, prompt: detail };
  }
  if (session.phase === "queued" && session.queue) {
    const { ahead, eta_ms } = session.queue;
    return { ...quiet, title: ahead === 0 ? "Next in line" : `${ahead} ahead of you`, aside: eta_ms ? wait(eta_ms) : "" };
  }
  if (session.phase === "connecting") return { ...quiet, title: "Connecting" };
  if (session.phase === "starting") return { ...quiet, title: "Getting a worker ready" };
  if (session.phase === "idle") return { ...quiet, title: "Ready" };
  const running = runningSegment(session);
  if (running) {
    const { step, total_steps } = running;
    const cap = toggles.singleClip ? 0 : (info?.features.segment_cap ?? 0);
    // A cap far away is nothing to count towards.
    const which = `segment ${running.index + 1}${cap > 0 && cap <= COUNTED_CAP ? ` of ${cap}` : ""}`;
    return {
      title: session.cancelling ? "Cancelling" : running.status === "receiving" ? `Receiving ${which}` : `Making ${which}`,
      aside: step < total_steps ? `${stageWords(running.stage)} ${step}/${total_steps}` : sourceWords(running.source),
      prompt: running.prompt,
      done: running.status === "receiving" ? 1 : step / Math.max(1, total_steps),
      steps: [step, total_steps],
    };
  }
  const title = session.stopping ? "Stopping" : session.paused ? "Generation is paused" : "Your turn";
  if (session.stopping || session.paused) return { ...quiet, title, prompt: session.paused ? "Prompts wait until you resume." : "" };
  if (session.blocked) return { ...quiet, title, prompt: blockedWords(session.blocked) };
  if ((toggles.keepGoing || toggles.loop) && !toggles.singleClip && session.segments.length > 0) {
    return { ...quiet, title: "Far enough ahead", prompt: "The stream goes on by itself. Say what happens next at any time." };
  }
  return { ...quiet, title, prompt: "Say what happens next, or pick an idea." };
}

/**
 * What is said aloud of a segment that begins: the first, and those that the viewer asked for. A stream that goes on by itself would
 * otherwise never be quiet.
 * @param {import("../segments.js").Segment | undefined} segment
 * @returns {string} empty for nothing
 */
export function spokenSegment(segment) {
  const asked = segment && (segment.serial === 1 || (segment.requestId !== null && segment.source !== "curated"));
  return asked ? `Making segment ${segment.index + 1}: ${segment.prompt}` : "";
}

/**
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showNow(store, controller) {
  const progress = byId("now-progress", HTMLElement);
  const bar = byId("now-bar", HTMLElement);
  const pause = byId("pause-generation", HTMLButtonElement);
  const cancel = byId("cancel-segment", HTMLButtonElement);
  const announcer = byId("announcer", HTMLElement);

  pause.addEventListener("click", () => controller.pauseGeneration(!store.state.session.paused));
  cancel.addEventListener("click", () => controller.cancelSegment());

  store.watch(
    (state) => JSON.stringify(nowText(state)),
    (_, state) => {
      const now = nowText(state);
      setText(byId("now-title", HTMLElement), now.title);
      setText(byId("now-aside", HTMLElement), now.aside);
      setText(byId("now-prompt", HTMLElement), now.prompt);
      setFlag(progress, "data-quiet", now.done === null);
      progress.setAttribute("aria-hidden", String(now.done === null));
      bar.style.setProperty("--done", String(now.done ?? 0));
      progress.setAttribute("aria-valuemax", String(now.steps[1]));
      progress.setAttribute("aria-valuenow", String(now.steps[0]));
    },
  );
  store.watch(
    (state) => state.session,
    (session) => {
      pause.disabled = session.phase !== "active" || session.stopping;
      pause.setAttribute("aria-pressed", String(session.paused));
      setIcon(byId("pause-generation-icon", SVGElement), session.paused ? "resume" : "hold");
      setText(byId("pause-generation-text", HTMLElement), session.paused ? "Resume" : "Pause");
      cancel.disabled = session.cancelling || session.stopping || !runningSegment(session);
    },
  );
  store.watch(
    (state) => runningSegment(state.session)?.serial,
    (_, state) => {
      const words = spokenSegment(runningSegment(state.session));
      if (words) setText(announcer, words);
    },
  );
  store.watch(
    (state) => state.session.ending,
    (ending, state) => {
      if (!ending) return;
      const { title, detail } = endingWords(ending, state.session.problem);
      setText(announcer, `${title}. ${detail}`);
    },
  );
}

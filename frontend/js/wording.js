/**
 * What the page says when something goes wrong or ends: what happened, and what to do next.
 * @typedef {import("./session.js").Ending} Ending
 * @typedef {import("./session.js").Problem} Problem
 * @typedef {{title: string, detail: string}} Words
 */

/** @type {Record<string, Words>} by the error's reason, which is more exact than its code */
const BY_REASON = {
  prompt_blocked: { title: "That prompt was not accepted", detail: "Reword it and send it again. The stream goes on." },
  limit_exceeded: { title: "That is more than this server allows", detail: "Lower the value and send it again." },
  rate_limited: { title: "Too many requests", detail: "Wait a moment, then try again." },
  resume_unknown: { title: "That session is gone", detail: "Start a new one, or start from a snapshot file." },
  resume_expired: { title: "That session has expired", detail: "Start a new one, or start from a snapshot file." },
  state_invalid: { title: "The snapshot could not be used", detail: "Choose a snapshot that was saved with the same model." },
  image_invalid: { title: "The start image could not be used", detail: "Choose a PNG, JPEG or WebP picture that is not larger than 32 MB." },
  unauthorized: { title: "This server asks for a key", detail: "Start again with one that it knows, or ask whoever runs it." },
  draining: { title: "The server is restarting", detail: "Try again in a minute." },
};

/** @type {Record<string, Words>} */
const BY_CODE = {
  session_rejected: { title: "All places are taken", detail: "Try again when somebody has left." },
  invalid_message: { title: "The server did not accept that", detail: "Change the request and send it again." },
  preset_mismatch: { title: "This server does not know that preset", detail: "Choose another preset." },
  gpu_unavailable: { title: "No worker is free", detail: "Try again in a minute." },
  worker_failed: { title: "The segment failed", detail: "Send the prompt again. If it keeps failing, look at the server's log." },
  upstream_timeout: { title: "The server took too long", detail: "Try again." },
  internal_error: { title: "Something went wrong on the server", detail: "Try again. If it keeps happening, look at the server's log." },
};

/**
 * @param {Problem} problem
 * @returns {Words}
 */
export function problemWords(problem) {
  const words = BY_REASON[problem.reason] ?? BY_CODE[problem.code] ?? BY_CODE.internal_error;
  const wait = problem.retryAfter_s === null ? words.detail : `Try again in ${Math.ceil(problem.retryAfter_s)} s.`;
  const said = sentence(problem.message);
  return { title: words.title, detail: said ? `${said} ${wait}` : wait };
}

/**
 * @param {Ending} ending
 * @param {Problem | null} problem
 * @returns {Words}
 */
export function endingWords(ending, problem) {
  switch (ending.kind) {
    case "segment_cap":
      return { title: "That was the whole take", detail: "This server makes a set number of segments per session. Start again to go on." };
    case "stop_requested":
      return { title: "Stopped", detail: "Save what you saw, or start something new." };
    case "timeout":
      return {
        title: "The session went to sleep",
        detail: `Nothing was asked for in ${duration(ending.timeout_s)}, so the place was given to others.`,
      };
    case "unreachable":
      return { title: "Can't reach the server", detail: "Check that it is running and that you are online, then try again." };
    case "refused":
    case "error":
      return problem ? problemWords(problem) : BY_CODE.internal_error;
    case "lost":
      return {
        title: "The connection was lost",
        detail: "What has arrived stays here to watch and save. Start again when you are back online.",
      };
  }
}

/** @type {Record<string, string>} */
const REFUSALS = {
  prompt_blocked: "Not accepted: reword it",
  limit_exceeded: "More than this server allows",
  invalid_message: "The server could not read it",
  rate_limited: "Too many requests: try again in a moment",
};

/** @type {Record<string, string>} */
const FAILURES = {
  rate_limited: "The language model is asked too often.",
  unavailable: "The language model can't be reached.",
  timeout: "The language model took too long.",
  refused: "The language model would not write this.",
  blocked: "What the language model wrote was not accepted.",
};

/** Why a language model's words are not there. @param {string} reason */
export const failureWords = (reason) => FAILURES[reason] ?? "The language model gave no answer that can be used.";

/** Why a prompt was not taken. @param {string | null} reason */
export const refusalWords = (reason) => REFUSALS[reason ?? ""] ?? "Not accepted";

/** @type {Record<import("./protocol.js").BlockReason, string>} */
const BLOCKED = {
  no_prompt: "Waiting for your next prompt.",
  cancelled: "Skipped. Say what happens instead.",
  worker_failed: "The last segment failed. Send a prompt to go on.",
  prompt_blocked: "The next prompt was blocked. Say what happens instead.",
  segment_cap: "This session's segments are used up.",
  paused: "Generation is paused.",
};

/** @param {import("./protocol.js").BlockReason | null} reason of `generation_blocked`; null when none was given */
export const blockedWords = (reason) => BLOCKED[reason ?? "no_prompt"] ?? BLOCKED.no_prompt;

/**
 * What the empty prompt box asks for. A model with a small world of its own says what is in it.
 * @param {string | undefined} model @param {boolean} open whether a stream goes on
 */
export function promptHint(model, open) {
  if (model === "embedded-ltx2") {
    return open ? "What changes? Now it turns green, it moves up …" : "A colour, a shape, what it does, on which background";
  }
  return open ? "What happens next?" : "Describe what you want to see and hear";
}

/** @type {Record<string, string>} */
const STAGES = {
  queue: "Waiting for the worker",
  text: "Reading the prompt",
  denoise: "Denoising",
  refine: "Refining",
  decode: "Decoding",
  encode: "Encoding",
};

/** @param {string} stage */
export const stageWords = (stage) => STAGES[stage] ?? stage;

/** @type {Record<string, string>} */
const SOURCES = { user: "You", curated: "Story", enhanced: "Enhanced", auto_extension: "Kept going" };

/** @param {string} source */
export const sourceWords = (source) => SOURCES[source] ?? source;

/** @param {string} text @returns {string} with a capital and a full stop */
function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const capital = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** @param {number | null} seconds */
function duration(seconds) {
  if (seconds === null) return "a while";
  if (seconds < 120) return `${seconds} seconds`;
  return `${Math.round(seconds / 60)} minutes`;
}

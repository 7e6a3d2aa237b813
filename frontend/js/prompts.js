/**
 * The viewer's own prompts, in the order they play, as plain data. Most wait in the page, where they can still be changed: just one at a
 * time waits at the server, so that the next segment starts without asking.
 *
 * @typedef {"held" | "sending" | "pending" | "applied" | "rejected"} PromptState held: not sent yet
 * @typedef {object} Prompt
 * @property {string} requestId
 * @property {string} text
 * @property {import("./protocol.js").PromptSource} source
 * @property {PromptState} state
 * @property {string | null} reason why it was rejected
 * @property {number} asked_ms
 * @property {number | null} segment serial of the segment that it was applied to
 * @property {number | null} latency_ms from asking to its first picture
 */

export const MAX_PROMPTS = 100;
/** Applied prompts that are remembered: more than lie between generation and the viewer. */
const MAX_APPLIED = 12;

/** Whether it has not come to its segment yet. @param {Prompt} prompt */
export const isWaiting = ({ state }) => state === "held" || state === "sending" || state === "pending";

/** @param {Prompt[]} prompts @returns {Prompt | undefined} what to hand to the server now */
export function toSend(prompts) {
  if (prompts.some(({ state }) => state === "sending" || state === "pending")) return undefined;
  return prompts.find(({ state }) => state === "held");
}

/**
 * @param {Prompt[]} prompts
 * @param {{requestId: string, text: string, source: import("./protocol.js").PromptSource}} prompt
 * @param {number} now_ms
 * @returns {Prompt[]}
 */
export const asked = (prompts, prompt, now_ms) => [
  ...prompts,
  { ...prompt, state: "held", reason: null, asked_ms: now_ms, segment: null, latency_ms: null },
];

/** @param {Prompt[]} prompts @param {string} requestId @param {Partial<Prompt>} change @returns {Prompt[]} */
export const changed = (prompts, requestId, change) =>
  prompts.map((prompt) => (prompt.requestId === requestId ? { ...prompt, ...change } : prompt));

/** @param {Prompt[]} prompts @param {string} requestId @returns {Prompt[]} */
export const dismissed = (prompts, requestId) => prompts.filter((prompt) => prompt.requestId !== requestId);

/** Other words for one that is held. @param {Prompt[]} prompts @param {string} requestId @param {string} text @returns {Prompt[]} */
export function edited(prompts, requestId, text) {
  const words = text.trim();
  const held = prompts.some((prompt) => prompt.requestId === requestId && prompt.state === "held");
  return words && held ? changed(prompts, requestId, { text: words }) : prompts;
}

/**
 * Puts one that is held at another place among those that are.
 * @param {Prompt[]} prompts
 * @param {string} requestId
 * @param {number} to index in `prompts`
 * @returns {Prompt[]}
 */
export function moved(prompts, requestId, to) {
  const prompt = prompts.find((one) => one.requestId === requestId && one.state === "held");
  if (!prompt) return prompts;
  const first = prompts.findIndex(({ state }) => state === "held");
  const others = prompts.filter((one) => one !== prompt);
  others.splice(Math.min(Math.max(to, first), others.length), 0, prompt);
  return others;
}

/**
 * Puts one that was held, and removed, back among those that are.
 * @param {Prompt[]} prompts
 * @param {Prompt} prompt
 * @param {number} at where it was
 * @returns {Prompt[]} the same ones when it is there
 */
export function restored(prompts, prompt, at) {
  if (prompts.some(({ requestId }) => requestId === prompt.requestId)) return prompts;
  return moved([...prompts, prompt], prompt.requestId, at);
}

/**
 * What the server said of one.
 * @param {Prompt[]} prompts
 * @param {{request_id: string, status: "pending" | "applied" | "rejected", reason?: string}} message
 * @returns {Prompt[]}
 */
export function told(prompts, { request_id, status, reason }) {
  const after = changed(prompts, request_id, { state: status, reason: reason ?? null });
  const applied = after.filter(({ state }) => state === "applied").slice(-MAX_APPLIED);
  return after.filter((prompt) => prompt.state !== "applied" || applied.includes(prompt));
}

/** What is on its way was not accepted. @param {Prompt[]} prompts @param {string} reason @returns {Prompt[]} */
export const refused = (prompts, reason) =>
  prompts.map((prompt) => (prompt.state === "sending" ? { ...prompt, state: "rejected", reason } : prompt));

/**
 * Other words for scenes, asked of the server's language model: what was asked for, and what came, as plain data. Nothing is taken over
 * by itself: the viewer accepts or discards each.
 *
 * @typedef {{key: number, text: string, target: string | null}} Alternative `target` is the scene that it would replace; null for a new one
 * @typedef {object} Rewrite
 * @property {"idle" | "asking" | "done" | "failed"} phase
 * @property {string[]} targets ids of the scenes that are rewritten
 * @property {Alternative[]} alternatives
 * @property {string} reason why there are none
 */

/** As many scenes as a server rewrites at once. */
export const MAX_TARGETS = 16;
/** Ways to tell one scene. */
const CHOICES = 3;

/** @returns {Rewrite} */
export const noRewrite = () => ({ phase: "idle", targets: [], alternatives: [], reason: "" });

/** @param {string[]} targets @returns {Rewrite} */
export const rewriteAsked = (targets) => ({ ...noRewrite(), phase: "asking", targets });

/** Alternatives to ask for. @param {string[]} targets */
export const wanted = (targets) => (targets.length > 1 ? targets.length : CHOICES);

/**
 * Several scenes are answered by a new story in their order, one scene or none by several ways to tell it.
 * @param {Rewrite} rewrite
 * @param {{alternatives: string[], reason?: string}} message
 * @returns {Rewrite}
 */
export function rewriteAnswered(rewrite, { alternatives, reason = "" }) {
  if (rewrite.phase !== "asking") return rewrite;
  if (alternatives.length === 0) return { ...rewrite, phase: "failed", reason };
  const { targets } = rewrite;
  const target = (/** @type {number} */ index) => (targets.length > 1 ? targets[index] : targets[0]) ?? null;
  return { ...rewrite, phase: "done", reason: "", alternatives: alternatives.map((text, key) => ({ key, text, target: target(key) })) };
}

/** The server would not even begin. @param {Rewrite} rewrite @returns {Rewrite} */
export const rewriteRefused = (rewrite) => (rewrite.phase === "asking" ? noRewrite() : rewrite);

/**
 * One alternative was accepted or discarded; with the last one the rewrite is over.
 * @param {Rewrite} rewrite
 * @param {number} key
 * @returns {Rewrite}
 */
export function alternativeGone(rewrite, key) {
  const alternatives = rewrite.alternatives.filter((one) => one.key !== key);
  return alternatives.length === 0 ? noRewrite() : { ...rewrite, alternatives };
}

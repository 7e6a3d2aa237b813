/**
 * Segments of a session, as plain data, in the order they started.
 *
 * @typedef {"generating" | "receiving" | "complete" | "cancelled" | "failed"} SegmentStatus
 * @typedef {object} Segment
 * @property {number} serial its own: after a segment that was dropped, the next one has the same index
 * @property {number} index
 * @property {string} prompt
 * @property {import("./protocol.js").PromptEnhancement | null} enhancement what a language model made of its prompt, when one was asked
 * @property {string} original the words before a language model made the prompt of them
 * @property {import("./protocol.js").PromptSource} source
 * @property {SegmentStatus} status
 * @property {number} step
 * @property {number} total_steps
 * @property {string} stage
 * @property {number} started_ms
 * @property {number} start_s where it lies on the timeline
 * @property {number} duration_s expected until it is known
 * @property {boolean} measured start and duration are what was coded
 * @property {number | null} generation_ms
 * @property {string | null} requestId of the prompt that asked for it
 */

/**
 * Seconds of video made per second of generation, over the newest segments.
 * @param {Segment[]} segments
 * @param {number} [newest]
 * @returns {number | null}
 */
export function speed(segments, newest = 3) {
  const done = segments.filter((segment) => segment.measured && segment.generation_ms).slice(-newest);
  const generation_ms = done.reduce((sum, segment) => sum + (segment.generation_ms ?? 0), 0);
  const duration_s = done.reduce((sum, segment) => sum + segment.duration_s, 0);
  return generation_ms > 0 ? (duration_s * 1000) / generation_ms : null;
}

/** @param {Segment[]} segments @param {number} position_s @returns {Segment | undefined} */
export function segmentAt(segments, position_s) {
  return segments.findLast((segment) => segment.duration_s > 0 && segment.start_s <= position_s + 0.001);
}

/** Whether it did not become whole. @param {Segment} segment */
export const isDropped = ({ status }) => status === "cancelled" || status === "failed";

/**
 * The end of a segment that did not become whole; one of which nothing arrived takes no time.
 * @param {"cancelled" | "failed"} status
 * @returns {(segment: Segment) => Partial<Segment>}
 */
export const dropped = (status) => (segment) => ({ status, duration_s: segment.measured ? segment.duration_s : 0 });

/**
 * A snapshot as a file: where a stream stands, to go on from it later.
 * @typedef {{kind: string, payload: Record<string, any>, signature?: string | null}} StateEnvelope
 * @typedef {{state: StateEnvelope, prompt: string}} Snapshot
 */

const FORMAT = "fastvideo-snapshot";
/** The largest snapshot a server makes is 40 MB of JSON. */
export const MAX_SNAPSHOT_BYTES = 44_000_000;

/** A file that can't be used; its message is for the viewer. */
export class SnapshotError extends Error {}

/**
 * @param {Snapshot} snapshot
 * @param {Date} saved
 * @returns {string}
 */
export function writeSnapshot({ state, prompt }, saved) {
  return JSON.stringify({ format: FORMAT, version: 1, saved: saved.toISOString(), prompt, state });
}

/**
 * Reads a file that the page saved, or a bare `{kind, payload}` as other clients keep it.
 * @param {string} text
 * @returns {Snapshot}
 * @throws {SnapshotError}
 */
export function readSnapshot(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SnapshotError("This file is no snapshot: it does not hold JSON.");
  }
  if (!isRecord(value)) throw new SnapshotError("This file is no snapshot: it holds no session state.");
  if (value.format === FORMAT && value.version !== 1) {
    throw new SnapshotError(`This snapshot has version ${value.version}; this page reads version 1.`);
  }
  const state = isRecord(value.state) ? value.state : value;
  const { kind, payload, signature } = state;
  if (typeof kind !== "string" || kind === "" || !isRecord(payload)) {
    throw new SnapshotError("This file is no snapshot: it holds no session state.");
  }
  const signed = typeof signature === "string" ? { signature } : {};
  return { state: { kind, payload, ...signed }, prompt: typeof value.prompt === "string" ? value.prompt : "" };
}

/** @param {unknown} value @returns {value is Record<string, any>} */
const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

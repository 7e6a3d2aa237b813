import * as prompts from "./prompts.js";
import { dropped, isDropped } from "./segments.js";

/**
 * What is known about the session, as plain data, and how each message and each action of the viewer changes it. No sockets, no clock:
 * `now_ms` comes in. Every function returns a new session, or the same one when nothing changed.
 *
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 *
 * @typedef {"idle" | "connecting" | "queued" | "starting" | "active" | "ended"} Phase
 *
 * @typedef {import("./segments.js").Segment} Segment
 * @typedef {import("./prompts.js").Prompt} Prompt
 *
 * @typedef {object} Ending
 * @property {"segment_cap" | "stop_requested" | "error" | "timeout" | "lost" | "unreachable" | "refused"} kind
 * @property {number | null} timeout_s
 * @property {number | null} closeCode
 *
 * @typedef {object} Problem
 * @property {string} code
 * @property {string} reason
 * @property {string} message
 * @property {boolean} retryable
 * @property {number | null} retryAfter_s
 * @property {number} serial rises with each problem, so that the same one twice is told twice
 *
 * @typedef {object} Session
 * @property {Phase} phase
 * @property {number} started_ms when the viewer asked for it
 * @property {number | null} firstFrame_ms from the viewer's Enter to the first picture
 * @property {string | null} id
 * @property {{state: "recording" | "ended" | "unavailable", reason: string | null} | null} recording on the server; null when nobody asked
 * @property {{ahead: number, waiting: number, eta_ms: number | null} | null} queue
 * @property {{gpu: number, model: string | null, timeout_s: number} | null} worker
 * @property {{preset: string | null, width: number, height: number, fps: number, num_frames: number, limits: Record<string, number>} | null} stream
 * @property {Segment[]} segments
 * @property {Prompt[]} prompts in the order they were asked; applied ones leave some time after their segment
 * @property {string | null} applying request id of the prompt whose segment is about to start
 * @property {number | null} latency_ms from asking to the first picture, of the newest prompt that was shown
 * @property {boolean} paused generation is held
 * @property {boolean} pausing the hold was asked for while a segment runs
 * @property {boolean} cancelling
 * @property {boolean} stopping
 * @property {import("./protocol.js").BlockReason | null} blocked why generation waits
 * @property {{count: number, last_ms: number}} late
 * @property {number | null} roundTrip_ms
 * @property {boolean} reconnecting the connection broke, and is being replaced
 * @property {Problem | null} problem the newest one
 * @property {Ending | null} ending
 */

/** The newest segments are kept; older ones have long left the player. */
const MAX_SEGMENTS = 200;
/** WebSocket close code. */
const INTERNAL_ERROR = 1011;

/** @returns {Session} */
export function newSession() {
  return {
    phase: "idle",
    started_ms: 0,
    firstFrame_ms: null,
    id: null,
    recording: null,
    queue: null,
    worker: null,
    stream: null,
    segments: [],
    prompts: [],
    applying: null,
    latency_ms: null,
    paused: false,
    pausing: false,
    cancelling: false,
    stopping: false,
    blocked: null,
    late: { count: 0, last_ms: 0 },
    roundTrip_ms: null,
    reconnecting: false,
    problem: null,
    ending: null,
  };
}

/** @param {number} now_ms @returns {Session} */
export function connect(now_ms) {
  return { ...newSession(), phase: "connecting", started_ms: now_ms };
}

/** @param {Session} session */
export const isOpen = (session) => session.phase !== "idle" && session.phase !== "ended";

/** @param {Session} session @returns {Segment | undefined} the segment that is being made */
export const runningSegment = (session) =>
  session.segments.findLast((segment) => segment.status === "generating" || segment.status === "receiving");

/**
 * Whether media was asked for and has not all arrived; playback that runs dry meanwhile has stalled, otherwise it is idle.
 * @param {Session} session
 */
export function isExpecting(session) {
  if (!isOpen(session)) return false;
  if (runningSegment(session)) return true;
  return !session.paused && session.prompts.some(prompts.isWaiting);
}

/** @param {Session} session @param {(list: Prompt[]) => Prompt[]} change @returns {Session} */
export function promptsChanged(session, change) {
  const list = change(session.prompts);
  return list === session.prompts ? session : { ...session, prompts: list };
}

/**
 * A picture is on screen: the prompt of its segment, if it was asked for, has been answered by it.
 * @param {Session} session @param {number} position_s @param {number} now_ms
 * @returns {Session}
 */
export function pictureShown(session, position_s, now_ms) {
  const asked = session.prompts.findLast(({ state, latency_ms, segment }) => {
    if (state !== "applied" || latency_ms !== null) return false;
    const shown = session.segments.find(({ serial }) => serial === segment);
    return shown !== undefined && shown.status !== "generating" && shown.start_s <= position_s + 0.001;
  });
  if (!asked) return session;
  const latency_ms = now_ms - asked.asked_ms;
  return { ...session, prompts: prompts.changed(session.prompts, asked.requestId, { latency_ms }), latency_ms };
}

/** @param {Session} session @param {boolean} paused @returns {Session} */
export function pauseAsked(session, paused) {
  return { ...session, paused, pausing: paused && runningSegment(session) !== undefined };
}

/** @param {Session} session @returns {Session} */
export const cancelAsked = (session) => ({ ...session, cancelling: true });

/** @param {Session} session @returns {Session} */
export const stopAsked = (session) => ({ ...session, stopping: true });

/** @param {Session} session @param {number} now_ms @returns {Session} */
export function firstFrameShown(session, now_ms) {
  return session.firstFrame_ms === null ? { ...session, firstFrame_ms: now_ms - session.started_ms } : session;
}

/** @param {Session} session @param {number} roundTrip_ms @returns {Session} */
export const roundTripMeasured = (session, roundTrip_ms) => ({ ...session, roundTrip_ms });

/** @param {Session} session @param {boolean} on @returns {Session} */
export const reconnecting = (session, on) => ({ ...session, reconnecting: on });

/**
 * The connection is gone. An ending that the server announced stays as it is.
 * @param {Session} session
 * @param {{code: number, opened: boolean}} close
 * @returns {Session}
 */
export function connectionClosed(session, { code, opened }) {
  if (session.phase === "idle") return session;
  const ending = session.ending ?? { kind: unannounced(session, { code, opened }), timeout_s: null };
  return settle({ ...session, phase: "ended", ending: { ...ending, closeCode: code } });
}

/**
 * Why a session is over that the server did not end with a message of its own.
 * @param {Session} session
 * @param {{code: number, opened: boolean}} close
 * @returns {Ending["kind"]}
 */
function unannounced(session, { code, opened }) {
  if (session.problem && session.phase !== "active") return "refused";
  if (!opened) return "unreachable";
  return session.problem && code === INTERNAL_ERROR ? "error" : "lost";
}

/** Nothing runs and nothing waits any more. @param {Session} session @returns {Session} */
function settle(session) {
  return {
    ...session,
    queue: null,
    reconnecting: false,
    cancelling: false,
    stopping: false,
    pausing: false,
    prompts: session.prompts.filter((prompt) => prompt.state === "rejected"),
    segments: session.segments.map((segment) => {
      if (segment.status === "generating") return { ...segment, ...dropped("cancelled")(segment) };
      return segment.status === "receiving" ? { ...segment, status: "cancelled" } : segment;
    }),
  };
}

/**
 * @param {Session} session
 * @param {ServerMessage} message types that it does not know change nothing
 * @param {number} now_ms
 * @returns {Session}
 */
export function receive(session, message, now_ms) {
  switch (message.type) {
    case "queue_status":
      return {
        ...session,
        phase: session.phase === "active" ? "active" : "queued",
        id: message.session_id ?? session.id,
        queue: { ahead: message.position, waiting: message.queue_depth, eta_ms: message.eta_ms ?? null },
      };
    case "recording_status":
      return { ...session, recording: { state: message.state, reason: message.reason ?? null } };
    case "gpu_assigned":
      return {
        ...session,
        phase: session.phase === "active" ? "active" : "starting",
        queue: null,
        worker: { gpu: message.gpu_id, model: message.model_id ?? null, timeout_s: message.session_timeout },
      };
    case "ltx2_stream_start":
      return {
        ...session,
        phase: "active",
        queue: null,
        stream: {
          preset: message.preset ?? null,
          width: message.width,
          height: message.height,
          fps: message.fps,
          num_frames: message.num_frames,
          limits: message.limits ?? {},
        },
      };
    case "ltx2_segment_start":
      return segmentStarted(session, message, now_ms);
    case "step_complete":
      return changeSegment(session, message.segment_idx, () => ({
        step: message.step,
        total_steps: message.total_steps,
        stage: message.stage ?? "denoise",
      }));
    case "media_init":
      return changeSegment(session, message.segment_idx, () => ({ status: "receiving" }));
    case "media_segment_complete":
      return changeSegment(session, message.segment_idx, (segment) => ({
        start_s: message.pts_base_ms == null ? segment.start_s : message.pts_base_ms / 1000,
        duration_s: message.duration_ms == null ? segment.duration_s : message.duration_ms / 1000,
        measured: message.duration_ms != null,
      }));
    case "ltx2_segment_complete":
      return {
        ...changeSegment(session, message.segment_idx, () => ({
          status: "complete",
          generation_ms: message.generation_time_ms,
        })),
        pausing: false,
        cancelling: false,
      };
    case "segment_cancelled":
      return {
        ...changeSegment(session, message.segment_idx, dropped("cancelled")),
        pausing: false,
        cancelling: false,
      };
    case "prompt_status":
      return {
        ...session,
        prompts: prompts.told(session.prompts, message),
        // Its segment's start follows.
        applying: message.status === "applied" ? message.request_id : session.applying,
      };
    case "generation_blocked":
      return { ...session, blocked: message.reason ?? "no_prompt" };
    case "generation_resumed":
      return { ...session, blocked: null };
    case "deadline_missed":
      return { ...session, late: { count: session.late.count + 1, last_ms: message.late_ms } };
    case "ltx2_stream_complete":
      return settle({
        ...session,
        phase: "ended",
        ending: { kind: message.reason ?? "stop_requested", timeout_s: null, closeCode: null },
      });
    case "session_timeout":
      return settle({
        ...session,
        phase: "ended",
        ending: { kind: "timeout", timeout_s: message.timeout_seconds, closeCode: null },
      });
    case "error":
      return failed(session, message);
    default:
      return session;
  }
}

/**
 * @param {Session} session
 * @param {Extract<ServerMessage, {type: "ltx2_segment_start"}>} message
 * @param {number} now_ms
 * @returns {Session}
 */
function segmentStarted(session, message, now_ms) {
  const last = session.segments.at(-1);
  /** @type {Segment} */
  const segment = {
    serial: (last?.serial ?? 0) + 1,
    index: message.segment_idx,
    prompt: message.prompt,
    enhancement: message.enhancement ?? null,
    original: message.enhancement?.operation === "enhance" ? message.enhancement.original : message.prompt,
    source: message.source ?? "user",
    status: "generating",
    step: 0,
    total_steps: message.total_steps,
    stage: "denoise",
    started_ms: now_ms,
    start_s: last ? last.start_s + last.duration_s : 0,
    duration_s: session.stream ? session.stream.num_frames / session.stream.fps : 0,
    measured: false,
    generation_ms: null,
    requestId: session.applying,
  };
  const before = session.segments.filter((one) => one.index !== segment.index || isDropped(one));
  const started = { ...session, blocked: null, applying: null, segments: [...before, segment].slice(-MAX_SEGMENTS) };
  if (segment.requestId === null) return started;
  return { ...started, prompts: prompts.changed(started.prompts, segment.requestId, { segment: segment.serial }) };
}

/**
 * @param {Session} session
 * @param {number} index
 * @param {(segment: Segment) => Partial<Segment>} change
 * @returns {Session}
 */
function changeSegment(session, index, change) {
  const meant = session.segments.findLast((segment) => segment.index === index);
  if (!meant) return session;
  return {
    ...session,
    segments: session.segments.map((segment) => (segment === meant ? { ...segment, ...change(segment) } : segment)),
  };
}

/**
 * @param {Session} session
 * @param {Extract<ServerMessage, {type: "error"}>} message
 * @returns {Session}
 */
function failed(session, message) {
  const running = runningSegment(session);
  const unread = message.code === "invalid_message";
  const segmentFailed = running && (message.code ?? "internal_error") === "worker_failed";
  return {
    ...(segmentFailed ? changeSegment(session, running.index, dropped("failed")) : session),
    problem: {
      code: message.code ?? "internal_error",
      reason: message.reason ?? "",
      message: message.message,
      retryable: message.retryable ?? false,
      retryAfter_s: message.retry_after ?? null,
      serial: (session.problem?.serial ?? 0) + 1,
    },
    // A prompt that could not even be read is answered by this alone; one that was read is told of by itself.
    prompts: unread ? prompts.refused(session.prompts, message.reason ?? "invalid_message") : session.prompts,
    pausing: segmentFailed ? false : session.pausing,
    cancelling: false,
  };
}

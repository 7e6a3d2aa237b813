import { Access } from "../access.js";
import { byId, drawList, el, setAttribute, setFlag, setText } from "../dom.js";
import { clock, secondsShort } from "../format.js";
import { NotForYou, ask, sessionState, workerState } from "./overview.js";

/** @typedef {import("./overview.js").Overview} Overview */
/** @typedef {{element: HTMLTableRowElement, cells: HTMLTableCellElement[], tone: HTMLSpanElement}} Row */

const EVERY_MS = 2000;
const SESSION = ["Session", "State", "Segment", "Lead", "Age", "Queue", "From"];
const WORKER = ["Worker", "State", "Process", "Restarts"];

const access = new Access(sessionStorage);
const door = byId("door", HTMLFormElement);
const key = byId("key", HTMLInputElement);
const shown = byId("shown", HTMLElement);
const drain = byId("drain", HTMLButtonElement);
/** @type {Map<string, Row>} */
const sessions = new Map();
/** @type {Map<string, Row>} */
const workers = new Map();
let timer = 0;

/** @param {string} text @param {string} tone */
function tell(text, tone) {
  setText(byId("status-text", HTMLElement), text);
  setAttribute(byId("status", HTMLElement), "data-tone", tone);
}

/** @param {string[]} labels @returns {Row} a row with its state in the second cell */
function row(labels) {
  const cells = labels.map((label) => el("td", { "data-label": label }));
  const tone = el("span", { class: "tone" });
  cells[1]?.append(tone);
  return { element: el("tr", {}, ...cells), cells, tone };
}

/** @param {Row} view @param {{text: string, tone: string}} state @param {string[]} texts of the cells beside the state */
function fill(view, state, texts) {
  setText(view.tone, state.text);
  setAttribute(view.tone, "data-tone", state.tone);
  view.cells.filter((_, at) => at !== 1).forEach((cell, at) => setText(cell, texts[at] ?? ""));
}

/** @param {string} id @param {string} text @param {string} tone */
function total(id, text, tone) {
  const element = byId(id, HTMLElement);
  setText(element, text);
  setAttribute(element, "data-tone", tone);
}

/** @param {Overview} overview */
function draw(overview) {
  door.hidden = true;
  shown.hidden = false;
  const model = byId("model", HTMLElement);
  model.hidden = overview.model_id === null;
  setText(model, overview.model_id ?? "");
  const words = { ready: ["In service", "good"], warming: ["Starting", "busy"], draining: ["Draining", "busy"] }[overview.status];
  tell(words[0] ?? "", words[1] ?? "");

  const serving = overview.workers.filter((worker) => worker.state === "ready" || worker.state === "busy").length;
  const restarts = overview.workers.reduce((sum, worker) => sum + worker.restarts, 0);
  total("total-sessions", `${overview.sessions.length} of ${overview.max_sessions}`, "");
  total("total-waiting", String(overview.queued_sessions), overview.queued_sessions > 0 ? "warn" : "");
  total("total-workers", overview.workers.length === 0 ? "–" : `${serving} of ${overview.workers.length}`, serving < overview.workers.length ? "bad" : "");
  total("total-restarts", String(restarts), restarts > 0 ? "warn" : "");

  drawList(byId("sessions", HTMLElement), sessions, overview.sessions, {
    key: (session) => session.id,
    create: () => row(SESSION),
    draw: (view, session) => {
      setAttribute(view.element, "title", session.id);
      fill(view, sessionState(session), [
        session.id.slice(0, 8),
        `${session.segment_idx + (session.generating ? 1 : 0)} of ${overview.segment_cap}`,
        session.lead_ms === null ? "–" : secondsShort(session.lead_ms / 1000),
        clock(session.age_s),
        session.queue_position === null ? "–" : String(session.queue_position + 1),
        session.owner === null ? session.address : `${session.owner}, ${session.address}`,
      ]);
    },
  });
  byId("no-sessions", HTMLElement).hidden = overview.sessions.length > 0;
  drawList(byId("workers", HTMLElement), workers, overview.workers, {
    key: (worker) => worker.name,
    create: () => row(WORKER),
    draw: (view, worker) => fill(view, workerState(worker), [worker.name, worker.pid === null ? "–" : String(worker.pid), String(worker.restarts)]),
  });
  byId("no-workers", HTMLElement).hidden = overview.workers.length > 0;
  drain.disabled = overview.status === "draining";
  if (drain.disabled) sure(false);
}

/** @param {unknown} problem */
function explain(problem) {
  if (!(problem instanceof NotForYou)) {
    tell("The server does not answer", "bad");
    return;
  }
  access.use(null);
  tell("Closed", "quiet");
  shown.hidden = true;
  setText(byId("door-why", HTMLElement), problem.message);
  if (door.hidden) {
    door.hidden = false;
    key.focus();
  }
}

/** Ask now, and again and again while somebody may see the answer. */
async function look() {
  clearTimeout(timer);
  try {
    draw(await ask("v1/admin/overview", { headers: access.headers }));
  } catch (problem) {
    explain(problem);
    if (problem instanceof NotForYou) return;
  }
  clearTimeout(timer);
  timer = setTimeout(look, EVERY_MS);
}

/** @param {boolean} on whether the next click drains */
function sure(on) {
  setFlag(drain, "data-sure", on);
  setText(drain, on ? "Click again to drain" : "Drain");
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  access.use(key.value.trim());
  key.value = "";
  void look();
});
drain.addEventListener("click", async () => {
  if (!drain.hasAttribute("data-sure")) {
    sure(true);
    return;
  }
  sure(false);
  drain.disabled = true;
  try {
    await ask("v1/admin/drain", { method: "POST", headers: access.headers });
    await look();
  } catch (problem) {
    drain.disabled = false;
    explain(problem);
  }
});
drain.addEventListener("blur", () => sure(false));
void look();

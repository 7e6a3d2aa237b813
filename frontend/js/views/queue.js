import { byId, el, icon, setText } from "../dom.js";

/** @param {import("../session.js").Prompt} prompt */
function stateWords({ state, reason }) {
  if (state === "sending") return "Waiting for the stream";
  if (state === "pending") return "Waiting for its turn";
  return reason ? `Not accepted: ${reason.replaceAll("_", " ")}` : "Not accepted";
}

/**
 * The prompts that no segment has taken up yet.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showQueue(store, controller) {
  const list = byId("queue", HTMLOListElement);
  const empty = byId("queue-empty", HTMLElement);
  const count = byId("next-aside", HTMLElement);
  /** @type {Map<string, HTMLLIElement>} */
  const items = new Map();

  store.watch(
    (state) => state.session.prompts,
    (prompts) => {
      for (const [id, item] of items) {
        if (prompts.some((prompt) => prompt.requestId === id)) continue;
        item.remove();
        items.delete(id);
      }
      for (const prompt of prompts) {
        let item = items.get(prompt.requestId);
        if (!item) {
          item = el("li", {}, el("span", { class: "queue__text", title: prompt.text }, prompt.text), el("span", { class: "queue__state" }));
          items.set(prompt.requestId, item);
          list.append(item);
        }
        if (prompt.state === "rejected" && item.dataset.state !== "rejected") {
          const dismiss = el("button", { type: "button", class: "icon-button", "aria-label": "Dismiss" }, icon("close"));
          dismiss.addEventListener("click", () => controller.dismissPrompt(prompt.requestId));
          item.append(dismiss);
        }
        item.dataset.state = prompt.state;
        const words = item.querySelector(".queue__state");
        if (words) setText(words, stateWords(prompt));
      }
      empty.hidden = prompts.length > 0;
      const waiting = prompts.filter((prompt) => prompt.state !== "rejected").length;
      setText(count, waiting > 1 ? `${waiting} scenes` : "");
    },
  );
}

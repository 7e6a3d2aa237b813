import { byId, el, icon } from "../dom.js";

/** Good news leaves by itself; problems stay until they are dismissed. */
const GOOD_FOR_MS = 6000;

/**
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showNotices(store, controller) {
  const shelf = byId("notices", HTMLElement);
  /** @type {Map<number, HTMLElement>} */
  const shown = new Map();
  store.watch(
    (state) => state.notices,
    (notices) => {
      for (const [id, element] of shown) {
        if (notices.some((notice) => notice.id === id)) continue;
        element.remove();
        shown.delete(id);
      }
      for (const { id, tone, title, detail } of notices) {
        if (shown.has(id)) continue;
        const close = el("button", { type: "button", class: "icon-button", "aria-label": "Dismiss" }, icon("close"));
        close.addEventListener("click", () => controller.dismissNotice(id));
        const element = el("div", { class: "notice", "data-tone": tone, role: tone === "bad" ? "alert" : null }, icon(tone === "good" ? "done" : "alert"), el("h3", {}, title), el("p", {}, detail), close);
        shown.set(id, element);
        shelf.append(element);
        if (tone === "good") setTimeout(() => controller.dismissNotice(id), GOOD_FOR_MS);
      }
    },
  );
}

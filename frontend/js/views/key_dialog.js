import { el } from "../dom.js";

/**
 * Asks for the key of a server that asks for one: at once when it says so, and again when it refuses.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 * @param {import("../access.js").Access} access
 * @param {() => void} again starts what was refused once more
 */
export function showKeyDialog(store, controller, access, again) {
  const input = el("input", { id: "key", type: "password", name: "key", required: true, autocomplete: "current-password", spellcheck: "false" });
  const wrong = el("p", { class: "key__wrong", role: "alert", hidden: true }, "This key opens nothing here. Check it, or ask for another one.");
  const form = el(
    "form",
    { class: "key__inner" },
    el("h2", { id: "key-title" }, "This server asks for a key"),
    el("p", {}, "Whoever runs it can make one for you. It is kept for this tab alone."),
    el("label", { class: "field" }, el("span", {}, "Key"), input),
    wrong,
    el("button", { class: "button button--primary", type: "submit" }, "Continue"),
  );
  const dialog = el("dialog", { class: "key", id: "key-dialog", "aria-labelledby": "key-title" }, form);
  document.body.append(dialog);

  const ask = () => {
    if (dialog.open) return;
    input.value = "";
    dialog.showModal();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    access.use(input.value.trim());
    dialog.close();
    const { ending } = store.state.session;
    if (ending?.kind === "refused") again();
  });
  controller.addEventListener("refused", () => {
    wrong.hidden = access.missing;
    access.use(null);
    ask();
  });
  store.watch(
    (state) => state.info?.features.keys_required === true,
    (required) => {
      access.required = required;
      if (access.missing) ask();
    },
  );
}

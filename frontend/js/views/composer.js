import { byId, el, icon, setFlag, setText } from "../dom.js";
import { PromptHistory } from "../history.js";
import { isOpen } from "../session.js";
import { remember, remembered } from "../storage.js";
import { promptHint } from "../wording.js";

/**
 * @typedef {import("../state.js").AppState} AppState
 * @typedef {import("../controller.js").Controller} Controller
 */

/**
 * @param {import("../store.js").Store<AppState>} store
 * @param {Controller} controller
 */
export function showComposer(store, controller) {
  const form = byId("composer", HTMLFormElement);
  const box = byId("prompt", HTMLTextAreaElement);
  const saved = remembered("prompts");
  const history = new PromptHistory(
    Array.isArray(saved) ? saved.filter((prompt) => typeof prompt === "string") : [],
    (prompts) => remember("prompts", prompts),
  );

  const typed = () => setFlag(form, "data-empty", box.value.trim() === "");
  /** @param {string} text */
  const write = (text) => {
    box.value = text;
    box.setSelectionRange(text.length, text.length);
    typed();
  };
  typed();
  box.addEventListener("input", typed);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = box.value.trim();
    box.focus();
    if (!prompt) return;
    controller.submit(prompt);
    history.add(prompt);
    write("");
  });

  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "ArrowUp" && box.selectionStart === 0 && box.selectionEnd === box.selectionStart) {
      recall(event, history.older(box.value));
    } else if (event.key === "ArrowUp" && box.selectionStart === box.value.length && !box.value.includes("\n")) {
      recall(event, history.older(box.value));
    } else if (event.key === "ArrowDown" && box.selectionEnd === box.value.length) {
      recall(event, history.newer());
    }
  });

  /** @param {KeyboardEvent} event @param {string | null} prompt */
  function recall(event, prompt) {
    if (prompt === null) return;
    event.preventDefault();
    write(prompt);
  }

  store.watch(
    (state) => promptHint(state.info?.model_id, isOpen(state.session)),
    (hint) => {
      box.placeholder = hint;
    },
  );
  store.watch(
    (state) => state.session.stream?.limits.max_prompt_chars ?? state.info?.limits.max_prompt_chars ?? 0,
    (limit) => {
      if (limit > 0) box.maxLength = limit;
    },
  );
  store.watch(
    (state) => state.snapshot,
    (snapshot) => {
      if (snapshot && !box.value) write(snapshot.prompt);
      if (snapshot) box.focus();
    },
  );

  showToggles(store, controller);
  showAdvanced(store, controller);
  showAttachments(store, controller);
}

/** @param {import("../store.js").Store<AppState>} store @param {Controller} controller */
function showToggles(store, controller) {
  /** @type {[string, import("../state.js").Toggle][]} */
  const toggles = [
    ["keep-going", "keepGoing"],
    ["loop", "loop"],
    ["single-clip", "singleClip"],
    ["enhance", "enhance"],
  ];
  for (const [id, name] of toggles) {
    const box = byId(id, HTMLInputElement);
    box.addEventListener("change", () => controller.setToggle(name, box.checked));
    store.watch(
      (state) => state.toggles[name],
      (on) => {
        box.checked = on;
      },
    );
  }
  const singleClip = byId("single-clip", HTMLInputElement);
  store.watch(
    (state) => isOpen(state.session),
    (open) => {
      singleClip.disabled = open;
    },
  );
}

/** @param {import("../store.js").Store<AppState>} store @param {Controller} controller */
function showAdvanced(store, controller) {
  const toggle = byId("advanced-toggle", HTMLButtonElement);
  const panel = byId("advanced", HTMLElement);
  const seed = byId("seed", HTMLInputElement);
  const steps = byId("steps", HTMLInputElement);
  const negative = byId("negative", HTMLInputElement);
  const image = byId("image-choose", HTMLButtonElement);
  const imageFile = byId("image-file", HTMLInputElement);
  const snapshotFile = byId("snapshot-file", HTMLInputElement);

  toggle.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    toggle.setAttribute("aria-expanded", String(!panel.hidden));
    panel.scrollIntoView({ block: "nearest" });
  });
  /** @param {HTMLInputElement} input */
  const whole = (input) => (input.validity.valid && input.value !== "" ? input.valueAsNumber : null);
  seed.addEventListener("input", () => controller.setAdvanced({ seed: whole(seed) }));
  steps.addEventListener("input", () => controller.setAdvanced({ steps: whole(steps) }));
  negative.addEventListener("input", () => controller.setAdvanced({ negative: negative.value.trim() }));
  image.addEventListener("click", () => imageFile.click());
  byId("snapshot-choose", HTMLButtonElement).addEventListener("click", () => snapshotFile.click());
  onFile(imageFile, (file) => void controller.files.chooseImage(file));
  onFile(snapshotFile, (file) => void controller.files.openSnapshot(file));

  store.watch(
    (state) => state.session.stream?.limits.max_num_inference_steps ?? state.info?.limits.max_num_inference_steps ?? 0,
    (limit) => {
      if (limit > 0) steps.max = String(limit);
    },
  );
}

/** @param {HTMLInputElement} input @param {(file: File) => void} chosen */
function onFile(input, chosen) {
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    // The same file can be chosen again only if the field forgets it.
    input.value = "";
    if (file) chosen(file);
  });
}

/** @param {import("../store.js").Store<AppState>} store @param {Controller} controller */
function showAttachments(store, controller) {
  const shelf = byId("attachments", HTMLElement);
  const draw = () => {
    const { image, snapshot } = store.state;
    const items = [];
    if (image) {
      const picture = el("img", { src: image.preview, alt: "" });
      items.push(attachment(picture, image.name, "First picture of the next stream", "Remove the start image", () => controller.files.removeImage()));
    }
    if (snapshot) {
      items.push(attachment(icon("snapshot"), snapshot.name, "The next prompt goes on from here", "Remove the snapshot", () => controller.files.removeSnapshot()));
    }
    shelf.replaceChildren(...items);
  };
  store.watch((state) => state.image, draw);
  store.watch((state) => state.snapshot, draw);
}

/** @param {Node} picture @param {string} name @param {string} meaning @param {string} label @param {() => void} remove */
function attachment(picture, name, meaning, label, remove) {
  const text = el("span");
  setText(text, name);
  text.append(el("small", {}, meaning));
  const button = el("button", { type: "button", class: "icon-button", "aria-label": label }, icon("close"));
  button.addEventListener("click", remove);
  return el("div", { class: "attachment" }, picture, text, button);
}

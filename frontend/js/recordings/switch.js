import { byId, el } from "../dom.js";
import { isOpen } from "../session.js";
import { remember, remembered } from "../storage.js";
import { reasonWords } from "./shelf.js";

/**
 * The switch that asks for a recording before a stream starts, and what tells that one is made.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 */
export function showRecordSwitch(store, controller) {
  const label = byId("record-toggle", HTMLLabelElement);
  const box = byId("record", HTMLInputElement);
  const badge = el("span", { class: "badge badge--rec", hidden: true }, "Rec");
  byId("live-badge", HTMLElement).after(badge);

  box.addEventListener("change", () => {
    remember("record", box.checked);
    store.update((state) => ({ ...state, record: box.checked }));
  });
  store.update((state) => ({ ...state, record: remembered("record") === true }));

  store.watch(
    (state) => state.info?.features.recordings === true,
    (offered) => {
      label.hidden = !offered;
    },
  );
  store.watch(
    (state) => state.record,
    (on) => {
      box.checked = on;
    },
  );
  store.watch(
    (state) => isOpen(state.session),
    (open) => {
      box.disabled = open;
    },
  );
  store.watch(
    (state) => isOpen(state.session) && state.session.recording?.state === "recording",
    (recording) => {
      badge.hidden = !recording;
    },
  );
  store.watch(
    (state) => state.session.recording,
    (recording) => {
      if (!recording || recording.state === "recording") return;
      const title = recording.state === "ended" ? "The recording has ended" : "This stream is not recorded";
      controller.notify("bad", title, `${reasonWords(recording.reason)} The stream goes on.`.trim());
    },
  );
}

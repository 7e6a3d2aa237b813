import { byId, el, icon } from "../dom.js";
import { remember, remembered } from "../storage.js";
import { listRecordings, readRecording, removeRecording } from "./api.js";
import { recordingCard } from "./card.js";
import { merged, ownIds, withOwn } from "./shelf.js";
import { Viewer } from "./viewer.js";

/**
 * @typedef {import("./api.js").Recording} Recording
 * @typedef {import("../state.js").AppState} AppState
 */

/** While one grows, the shelf is looked at again so often. */
const AGAIN_MS = 4000;
const REMEMBERED = "recordings";

/**
 * Past sessions, to watch, save and delete: those that this server lists, and those that this browser recorded.
 * @param {import("../store.js").Store<AppState>} store
 * @param {import("../controller.js").Controller} controller
 * @param {import("../media/player.js").Player} player
 * @param {import("../access.js").Access} access
 */
export function showRecordings(store, controller, player, access) {
  const list = el("ul", { class: "shelf", "aria-label": "Recordings" });
  const empty = el(
    "div",
    { class: "shelf__empty", hidden: true },
    icon("film"),
    el("p", {}, "Nothing is recorded yet. Turn on Record before you start a stream, and it is kept here to watch again."),
  );
  const shelf = el("div", { class: "shelf__scroll" }, list, empty);
  const close = el("button", { class: "icon-button", type: "button", "aria-label": "Close" }, icon("close"));
  const head = el("header", { class: "shelf__head" }, el("h2", { id: "recordings-title" }, "Recordings"), close);
  const dialog = el("dialog", { class: "recordings", id: "recordings", "aria-labelledby": "recordings-title" });
  const viewer = new Viewer({
    back: () => watch(null),
    remove: (recording) => removeRecording(recording, access),
    removed: (recording) => {
      own = own.filter((id) => id !== recording.id);
      remember(REMEMBERED, own);
      watch(null);
      void look();
    },
    failed: () => controller.notify("bad", "The recording was not deleted", "Try again when the server answers."),
  });
  dialog.append(el("div", { class: "recordings__inner" }, head, shelf, viewer.element));
  document.body.append(dialog);

  let own = ownIds(remembered(REMEMBERED));
  let again = 0;
  let resume = false;

  /** @param {Recording | null} recording */
  const watch = (recording) => {
    shelf.hidden = recording !== null;
    dialog.toggleAttribute("data-watching", recording !== null);
    if (!recording) {
      viewer.hide();
      return;
    }
    // Two sounds at once are none.
    resume ||= player.stats.wanted && player.stats.state === "playing";
    player.pause();
    viewer.show(recording);
  };

  async function look() {
    clearTimeout(again);
    const [listed, mine] = await Promise.all([listRecordings(access), Promise.all(own.map(readRecording))]);
    // What is gone from the server is forgotten; one that did not answer is not gone.
    const missing = own.filter((_, index) => mine[index] === null && own[index] !== store.state.session.id);
    if (missing.length > 0) {
      own = own.filter((id) => !missing.includes(id));
      remember(REMEMBERED, own);
    }
    const known = merged(listed ?? [], mine.filter((one) => one !== null && one !== undefined));
    list.replaceChildren(...known.map((recording) => recordingCard(recording, () => watch(recording))));
    empty.hidden = known.length > 0;
    dialog.toggleAttribute("data-ready", true);
    if (dialog.open && known.some((one) => one.state === "recording")) again = setTimeout(look, AGAIN_MS);
  }

  const open = byId("recordings-open", HTMLButtonElement);
  open.addEventListener("click", () => {
    watch(null);
    dialog.showModal();
    void look();
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    // The backdrop belongs to the dialog; what lies in it is in its first child.
    if (event.target === dialog) dialog.close();
  });
  // Keys belong to what is watched here, and not to the stream behind it.
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  dialog.addEventListener("close", () => {
    clearTimeout(again);
    viewer.hide();
    if (resume) player.play();
    resume = false;
  });

  store.watch(
    (state) => state.info?.features.recordings === true,
    (offered) => {
      open.hidden = !offered;
    },
  );
  store.watch(
    (state) => (state.session.recording?.state === "recording" ? state.session.id : null),
    (id) => {
      if (!id) return;
      own = withOwn(own, id);
      remember(REMEMBERED, own);
    },
  );
}

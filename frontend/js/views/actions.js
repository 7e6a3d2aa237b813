import { byId, setIcon, setText } from "../dom.js";
import { fileSize } from "../format.js";
import { isOpen } from "../session.js";

/**
 * Save, download, stop; after the end, stop becomes start again.
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../controller.js").Controller} controller
 * @param {import("../story_player.js").StoryPlayer} story
 */
export function showActions(store, controller, story) {
  const snapshot = byId("save-snapshot", HTMLButtonElement);
  const download = byId("download", HTMLButtonElement);
  const stop = byId("stop", HTMLButtonElement);

  snapshot.addEventListener("click", () => controller.saveSnapshot());
  download.addEventListener("click", () => void controller.download());
  stop.addEventListener("click", () => {
    if (isOpen(store.state.session)) controller.stop();
    else story.startAgain();
  });

  store.watch(
    (state) => state.session,
    (session) => {
      snapshot.disabled = session.phase !== "active" || !session.segments.some((segment) => segment.status === "complete");
      const open = isOpen(session);
      stop.disabled = session.stopping;
      stop.classList.toggle("button--danger", open);
      stop.classList.toggle("button--primary", !open);
      setIcon(byId("stop-icon", SVGElement), open ? "stop" : "replay");
      setText(byId("stop-text", HTMLElement), open ? "Stop" : "Start again");
    },
  );
  store.watch(
    (state) => state.recording,
    ({ bytes, dropped }) => {
      download.disabled = bytes === 0;
      setText(byId("download-size", HTMLElement), bytes === 0 ? "" : fileSize(bytes));
      download.setAttribute("aria-label", bytes === 0 ? "Download" : `Download MP4, ${fileSize(bytes)}`);
      download.title = dropped > 0 ? `Holds the newest part; the first ${dropped} segments were let go to save memory` : `Everything received so far, as one MP4 (${fileSize(bytes)})`;
    },
  );
}

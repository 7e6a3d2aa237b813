import { byId } from "./dom.js";
import { toggleFullscreen, togglePlay } from "./views/controls.js";

const SEEK_S = 5;

/**
 * One key, one action, anywhere on the page except where text is typed or a control uses the key itself.
 * @param {import("./store.js").Store<import("./state.js").AppState>} store
 * @param {import("./controller.js").Controller} controller
 * @param {import("./media/player.js").Player} player
 */
export function listenToKeys(store, controller, player) {
  const prompt = byId("prompt", HTMLTextAreaElement);
  const help = byId("help", HTMLElement);

  /** @type {Record<string, () => void>} */
  const keys = {
    "/": () => prompt.focus(),
    " ": () => togglePlay(player),
    ArrowLeft: () => player.seek(player.stats.position_s - SEEK_S),
    ArrowRight: () => player.seek(player.stats.position_s + SEEK_S),
    l: () => player.goLive(),
    m: () => player.setMuted(!player.video.muted),
    f: () => toggleFullscreen(),
    p: () => controller.pauseGeneration(!store.state.session.paused),
    "?": () => help.togglePopover(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      // Escape first closes or leaves what is open; only then does it mean the segment.
      if (help.matches(":popover-open") || document.fullscreenElement) return;
      const writing = document.activeElement === prompt && prompt.value !== "";
      prompt.blur();
      if (!writing) controller.cancelSegment();
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = keys[key];
    if (!act || !mayTake(event.target, key)) return;
    event.preventDefault();
    act();
  });
}

/**
 * @param {EventTarget | null} target
 * @param {string} key
 */
function mayTake(target, key) {
  if (!(target instanceof HTMLElement)) return true;
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return false;
  if (target instanceof HTMLInputElement) {
    if (target.type === "range") return key !== "ArrowLeft" && key !== "ArrowRight";
    return target.type === "checkbox" && key !== " ";
  }
  return !(target instanceof HTMLButtonElement) || key !== " ";
}

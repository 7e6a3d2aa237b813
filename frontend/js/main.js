import { Access } from "./access.js";
import { readInfo, readPresets } from "./api.js";
import { streamUrl } from "./connection.js";
import { Controller } from "./controller.js";
import { byId } from "./dom.js";
import { listenToKeys } from "./keyboard.js";
import { onEachFrame } from "./media/frames.js";
import { Player } from "./media/player.js";
import { initialState } from "./state.js";
import { showRecordings } from "./recordings/panel.js";
import { showRecordSwitch } from "./recordings/switch.js";
import { remember, remembered } from "./storage.js";
import { Store } from "./store.js";
import { StoryPlayer } from "./story_player.js";
import { showActions } from "./views/actions.js";
import { showBoard } from "./views/board.js";
import { showComposer } from "./views/composer.js";
import { showControls } from "./views/controls.js";
import { showExamples } from "./views/examples.js";
import { showHeader } from "./views/header.js";
import { showHealth } from "./views/health.js";
import { showKeyDialog } from "./views/key_dialog.js";
import { showLibrary } from "./views/library.js";
import { showNotices } from "./views/notices.js";
import { showNow } from "./views/now.js";
import { showQueue } from "./views/queue.js";
import { showRewrite } from "./views/rewrite.js";
import { showStage } from "./views/stage.js";
import { showTimeline } from "./views/timeline.js";
import { showUndo } from "./views/undo.js";
import { showWhispers } from "./views/whisper.js";

const player = new Player(byId("video", HTMLVideoElement));
const store = new Store(initialState(player.stats));
const access = new Access(sessionStorage);
const controller = new Controller({ store, player, url: streamUrl(location), access, clientId: clientId() });
const story = new StoryPlayer(store, controller);
controller.addEventListener("begin", () => story.streamBegins());
controller.addEventListener("message", (event) => story.received(/** @type {CustomEvent} */ (event).detail));
onEachFrame(player.video, (position_s) => controller.pictureShown(position_s));

showHeader(store);
showStage(store, controller, story, player);
showControls(store, player);
showTimeline(store, player);
showComposer(store, controller);
showExamples(store, controller);
showNow(store, controller);
showHealth(store, player);
showQueue(store, controller);
showBoard(store, story, controller);
showRewrite(store, story);
showUndo(store, story);
showLibrary(store, story, controller);
showActions(store, controller, story);
showNotices(store, controller);
showRecordSwitch(store, controller);
showRecordings(store, controller, player, access);
showWhispers(store);
showKeyDialog(store, controller, access, () => story.startAgain());
listenToKeys(store, controller, player);

if (matchMedia("(hover: hover)").matches) byId("prompt", HTMLTextAreaElement).focus();

// For tests and for the curious: what the page knows, to look at.
Object.defineProperty(window, "__fastvideo", {
  value: Object.freeze({
    get session() {
      return store.state.session;
    },
    get player() {
      return player.stats;
    },
    get state() {
      return store.state;
    },
  }),
});

void readInfo().then((info) => info && store.update((state) => ({ ...state, info })));
void readPresets().then((presets) => store.update((state) => ({ ...state, presets })));

/** @returns {string} the same for every stream from this browser, so that its owner can come back at once */
function clientId() {
  const known = remembered("client");
  if (typeof known === "string" && known) return known;
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  remember("client", fresh);
  return fresh;
}

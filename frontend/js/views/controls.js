import { byId, setFlag, setIcon, setText } from "../dom.js";
import { clock } from "../format.js";
import { remember, remembered } from "../storage.js";

/** The controls leave the picture after this much stillness. */
const QUIET_AFTER_MS = 2600;

/**
 * @param {import("../store.js").Store<import("../state.js").AppState>} store
 * @param {import("../media/player.js").Player} player
 */
export function showControls(store, player) {
  const screen = byId("screen", HTMLElement);
  const controls = byId("controls", HTMLElement);
  const play = byId("play", HTMLButtonElement);
  const mute = byId("mute", HTMLButtonElement);
  const volume = byId("volume", HTMLInputElement);
  const scrubber = byId("scrubber", HTMLInputElement);
  const goLive = byId("go-live", HTMLButtonElement);
  const fullscreen = byId("fullscreen", HTMLButtonElement);
  const unmute = byId("unmute", HTMLButtonElement);

  const sound = remembered("sound");
  if (typeof sound?.volume === "number") player.setVolume(sound.volume);
  if (sound?.muted === true) player.setMuted(true);

  play.addEventListener("click", () => togglePlay(player));
  mute.addEventListener("click", () => player.setMuted(!player.video.muted));
  unmute.addEventListener("click", () => player.setMuted(false));
  volume.addEventListener("input", () => player.setVolume(volume.valueAsNumber));
  player.video.addEventListener("volumechange", () => {
    const { volume, muted, mutedByBrowser } = player.stats;
    if (!mutedByBrowser) remember("sound", { volume, muted });
  });
  scrubber.addEventListener("input", () => player.seek(scrubber.valueAsNumber));
  goLive.addEventListener("click", () => player.goLive());
  fullscreen.addEventListener("click", () => toggleFullscreen());
  document.addEventListener("fullscreenchange", () => {
    const full = document.fullscreenElement === screen;
    setIcon(byId("fullscreen-icon", SVGElement), full ? "leave-fullscreen" : "fullscreen");
    fullscreen.setAttribute("aria-label", full ? "Leave full screen" : "Full screen");
  });
  fullscreen.hidden = !document.fullscreenEnabled;
  player.video.addEventListener("click", () => togglePlay(player));
  player.video.addEventListener("dblclick", () => toggleFullscreen());

  let still = 0;
  const wake = () => {
    clearTimeout(still);
    setFlag(screen, "data-quiet", false);
    still = setTimeout(() => setFlag(screen, "data-quiet", store.state.playback.state === "playing"), QUIET_AFTER_MS);
  };
  for (const event of ["pointermove", "pointerdown", "focusin", "keydown"]) screen.addEventListener(event, wake);
  store.watch((state) => state.playback.state, wake);

  store.watch(
    (state) => state.playback,
    (playback, { session }) => {
      const shown = playback.end_s > 0 && playback.state !== "empty";
      controls.hidden = !shown;
      unmute.hidden = !(shown && playback.mutedByBrowser && playback.muted);
      if (!shown) return;

      const ended = playback.state === "ended";
      const playing = playback.wanted && !ended;
      setIcon(byId("play-icon", SVGElement), ended ? "replay" : playing ? "pause" : "play");
      play.setAttribute("aria-label", ended ? "Play again" : playing ? "Pause" : "Play");

      setIcon(byId("mute-icon", SVGElement), playback.muted ? "muted" : "sound");
      mute.setAttribute("aria-label", playback.muted ? "Turn on sound" : "Mute");
      volume.value = String(playback.muted ? 0 : playback.volume);
      fill(volume);

      scrubber.min = String(playback.start_s);
      scrubber.max = String(playback.end_s);
      scrubber.value = String(playback.position_s);
      scrubber.setAttribute("aria-valuetext", `${clock(playback.position_s)} of ${clock(playback.end_s)}`);
      fill(scrubber);
      setText(byId("time", HTMLElement), `${clock(playback.position_s)} / ${clock(playback.end_s)}`);

      goLive.hidden = session.phase !== "active";
      goLive.disabled = playback.live;
      goLive.setAttribute("aria-label", playback.live ? "Live" : "Go to live");
      setFlag(goLive, "data-live", playback.live && playback.state === "playing");
    },
  );
}

/** @param {import("../media/player.js").Player} player */
export function togglePlay(player) {
  const { state, wanted } = player.stats;
  if (state === "empty") return;
  if (wanted && state !== "ended") player.pause();
  else player.play();
}

export function toggleFullscreen() {
  const screen = byId("screen", HTMLElement);
  // A refusal (no gesture, or an embedding page's policy) leaves the page as it is.
  const change = document.fullscreenElement ? document.exitFullscreen() : screen.requestFullscreen();
  change.catch((problem) => console.info("full screen was refused", problem));
}

/** Draws the part before the thumb. @param {HTMLInputElement} range */
function fill(range) {
  const span = Number(range.max) - Number(range.min);
  const part = span > 0 ? (100 * (range.valueAsNumber - Number(range.min))) / span : 0;
  range.style.setProperty("--part", `${part}%`);
}

import { el, icon } from "../dom.js";
import { clock, fileSize } from "../format.js";
import { posterUrl } from "./api.js";
import { when } from "./shelf.js";

/** @typedef {import("./api.js").Recording} Recording */

/**
 * One recording as a picture to click.
 * @param {Recording} recording
 * @param {() => void} open
 * @returns {HTMLLIElement}
 */
export function recordingCard(recording, open) {
  const growing = recording.state === "recording";
  const picture = recording.poster ? el("img", { src: posterUrl(recording), alt: "", loading: "lazy", decoding: "async" }) : icon("film");
  const badge = growing ? el("span", { class: "recorded__live" }, "Recording") : el("span", { class: "recorded__length" }, clock(recording.duration_s));
  const title = recording.prompt || "Without words";
  const button = el(
    "button",
    { type: "button", class: "recorded", "aria-label": `Watch: ${title}` },
    el("span", { class: "recorded__picture" }, picture, badge, el("span", { class: "recorded__play", "aria-hidden": "true" }, icon("play"))),
    el("span", { class: "recorded__prompt" }, title),
    el("span", { class: "recorded__facts" }, `${when(recording.started_at, new Date())} · ${fileSize(recording.bytes)}`),
  );
  button.addEventListener("click", open);
  return el("li", {}, button);
}

import { el, icon, setText } from "../dom.js";
import { fileName } from "../files.js";
import { clock, counted, fileSize } from "../format.js";
import { mediaUrl, posterUrl, readEvents } from "./api.js";
import { reasonWords, sceneAt, scenes, when } from "./shelf.js";

/** @typedef {import("./api.js").Recording} Recording */

/** Plays one recording, with its scenes to jump to. */
export class Viewer {
  #video = el("video", { class: "watch__video", controls: true, playsinline: true, preload: "metadata" });
  #scenes = el("ol", { class: "watch__scenes" });
  #about = el("div", { class: "watch__about" });
  /** @type {Recording | null} */
  #shown = null;
  /** @type {import("./shelf.js").Scene[]} */
  #list = [];

  /**
   * @param {object} events
   * @param {() => void} events.back
   * @param {(recording: Recording) => Promise<boolean>} events.remove
   * @param {(recording: Recording) => void} events.removed
   * @param {(recording: Recording) => void} events.failed it could not be removed
   */
  constructor({ back, remove, removed, failed }) {
    this.element = el("div", { class: "watch", hidden: true }, this.#video, el("div", { class: "watch__side" }, this.#about, this.#scenes));
    this.back = back;
    this.remove = remove;
    this.removed = removed;
    this.failed = failed;
    this.#video.addEventListener("timeupdate", () => this.#mark());
  }

  get video() {
    return this.#video;
  }

  /** @param {Recording} recording */
  show(recording) {
    this.#shown = recording;
    this.#list = [];
    this.#scenes.replaceChildren();
    if (recording.poster) this.#video.poster = posterUrl(recording);
    else this.#video.removeAttribute("poster");
    this.#video.src = mediaUrl(recording);
    this.#about.replaceChildren(...this.#words(recording));
    this.element.hidden = false;
    // A refusal (no gesture) leaves it at its poster, with controls.
    this.#video.play().catch((problem) => console.info("playback waits for a click", problem));
    void readEvents(recording).then((events) => {
      if (this.#shown === recording) this.#showScenes(scenes(events));
    });
  }

  hide() {
    this.#shown = null;
    this.element.hidden = true;
    this.#video.pause();
    // Lets go of the connection.
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  /** @param {Recording} recording @returns {Node[]} */
  #words(recording) {
    const back = el("button", { type: "button", class: "button watch__back" }, icon("back"), "All recordings");
    back.addEventListener("click", () => this.back());
    const name = fileName(new Date(recording.started_at), "mp4");
    const download = el("a", { class: "button", href: mediaUrl(recording), download: name }, icon("download"), "Download");
    const growing = recording.state === "recording";
    const length = growing ? "Still recording" : clock(recording.duration_s);
    const facts = [when(recording.started_at, new Date()), length, fileSize(recording.bytes), `${recording.width} × ${recording.height}`];
    const why = reasonWords(recording.reason);
    return [
      el("h3", { class: "watch__title" }, recording.prompt || "Without words"),
      el("p", { class: "watch__facts" }, facts.join(" · ")),
      ...(why ? [el("p", { class: "watch__why" }, why)] : []),
      el("div", { class: "watch__actions" }, back, download, this.#removeButton(recording)),
    ];
  }

  /** A button that asks once more. @param {Recording} recording */
  #removeButton(recording) {
    const words = el("span", {}, "Delete");
    const button = el("button", { type: "button", class: "button watch__remove" }, icon("trash"), words);
    button.addEventListener("click", async () => {
      if (button.dataset.sure === undefined) {
        button.dataset.sure = "";
        setText(words, "Delete for good?");
        return;
      }
      button.disabled = true;
      const gone = await this.remove(recording);
      button.disabled = false;
      if (gone) this.removed(recording);
      else this.failed(recording);
    });
    button.addEventListener("blur", () => {
      delete button.dataset.sure;
      setText(words, "Delete");
    });
    return button;
  }

  /** @param {import("./shelf.js").Scene[]} list */
  #showScenes(list) {
    this.#list = list;
    // The one prompt of a short recording is its title.
    if (list.length < 2) return;
    const items = list.map(({ start_s, prompt }) => {
      const button = el("button", { type: "button", class: "watch__scene" }, el("span", {}, clock(start_s)), el("span", {}, prompt || "Without words"));
      button.addEventListener("click", () => {
        this.#video.currentTime = start_s;
        void this.#video.play().catch((problem) => console.info("playback waits for a click", problem));
      });
      return el("li", {}, button);
    });
    this.#scenes.setAttribute("aria-label", counted(list.length, "scene"));
    this.#scenes.replaceChildren(...items);
    this.#mark();
  }

  #mark() {
    const at = sceneAt(this.#list, this.#video.currentTime);
    [...this.#scenes.children].forEach((item, index) => item.toggleAttribute("data-playing", index === at));
  }
}

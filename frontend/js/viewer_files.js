import { FileProblem, fileName, readStartImage, saveFile } from "./files.js";
import { MAX_SNAPSHOT_BYTES, SnapshotError, readSnapshot, writeSnapshot } from "./snapshot_file.js";

/**
 * @typedef {import("./state.js").AppState} AppState
 * @typedef {(tone: "good" | "bad", title: string, detail: string) => void} Notify
 */

/** Files that the viewer hands in, for the next stream to start from, and takes away: snapshots and recordings. */
export class ViewerFiles {
  #store;
  #notify;

  /** @param {import("./store.js").Store<AppState>} store @param {Notify} notify */
  constructor(store, notify) {
    this.#store = store;
    this.#notify = notify;
  }

  /** @param {File} file */
  async chooseImage(file) {
    await this.#withFile("The start image could not be used", async () => {
      const image = await readStartImage(file);
      this.removeImage();
      // A stream that goes on from a snapshot has its first picture.
      this.#store.update((state) => ({ ...state, image, snapshot: null }));
    });
  }

  removeImage() {
    const { image } = this.#store.state;
    if (!image) return;
    URL.revokeObjectURL(image.preview);
    this.#store.update((state) => ({ ...state, image: null }));
  }

  /** @param {File} file */
  async openSnapshot(file) {
    await this.#withFile("The snapshot could not be used", async () => {
      if (file.size > MAX_SNAPSHOT_BYTES) throw new FileProblem("This file is too large for a snapshot.");
      const snapshot = readSnapshot(await file.text());
      this.removeImage();
      this.#store.update((state) => ({ ...state, snapshot: { ...snapshot, name: file.name } }));
    });
  }

  removeSnapshot() {
    this.#store.update((state) => ({ ...state, snapshot: null }));
  }

  /** @param {import("./snapshot_file.js").StateEnvelope} state */
  saveSnapshot(state) {
    const now = new Date();
    const prompt = this.#store.state.session.segments.at(-1)?.prompt ?? "";
    const text = writeSnapshot({ state, prompt }, now);
    const name = fileName(now, "snapshot.json");
    saveFile(new Blob([text], { type: "application/json" }), name);
    this.#notify("good", "Snapshot saved", "Open it under Advanced to go on from this moment.");
  }

  /** @param {import("./media/recording.js").Recording} recording */
  async saveRecording(recording) {
    try {
      saveFile(await recording.file(), fileName(new Date(), "mp4"));
    } catch (problem) {
      console.error(problem);
      this.#notify("bad", "Nothing to save yet", "Wait until the first segment plays, then try again.");
    }
  }

  /** @param {string} title @param {() => Promise<void>} read */
  async #withFile(title, read) {
    try {
      await read();
    } catch (problem) {
      if (!(problem instanceof FileProblem || problem instanceof SnapshotError)) throw problem;
      this.#notify("bad", title, problem.message);
    }
  }
}

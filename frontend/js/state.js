import { noRewrite } from "./rewrite.js";
import { newSession } from "./session.js";
import { newStory } from "./story.js";

/**
 * Everything the page shows, in one value.
 *
 * @typedef {"keepGoing" | "loop" | "singleClip" | "enhance"} Toggle
 * @typedef {object} Preset
 * @property {string} name
 * @property {string} label
 * @property {string} description
 * @property {string[]} prompts
 * @property {Record<string, any>} sampling
 * @property {{auto_extension?: boolean, loop_generation?: boolean, single_clip_mode?: boolean}} toggles
 *
 * @typedef {object} Info what the server says of itself
 * @property {string} version
 * @property {string} model_id
 * @property {number} width
 * @property {number} height
 * @property {number} fps
 * @property {number} num_frames
 * @property {Record<string, number>} limits
 * @property {string[]} examples
 * @property {{segment_cap?: number, recordings?: boolean, prompt_enhancement?: boolean, keys_required?: boolean}} features
 *
 * @typedef {{id: number, tone: "good" | "bad", title: string, detail: string}} Notice
 *
 * @typedef {object} AppState
 * @property {Info | null} info
 * @property {Preset[]} presets
 * @property {import("./story.js").Story} story what is on the board
 * @property {import("./rewrite.js").Rewrite} rewrite
 * @property {import("./undo.js").Step[]} undo changes of the board that can be taken back, the newest last
 * @property {boolean} boardOpen the board is shown before there is a stream or a scene
 * @property {import("./library.js").SavedStory[]} saved the viewer's own stories, newest first
 * @property {Record<Toggle, boolean>} toggles
 * @property {{seed: number | null, steps: number | null, negative: string}} advanced
 * @property {import("./files.js").StartImage | null} image
 * @property {(import("./snapshot_file.js").Snapshot & {name: string}) | null} snapshot where the next stream goes on from
 * @property {import("./session.js").Session} session
 * @property {import("./media/player.js").PlayerStats} playback
 * @property {boolean} record ask the server to keep the next stream
 * @property {{bytes: number, dropped: number}} recording
 * @property {{prompt: string, story: boolean} | null} lastStart how the last stream was begun
 * @property {Notice[]} notices
 * @property {number} noticeCount
 */

/**
 * @param {import("./media/player.js").PlayerStats} playback
 * @returns {AppState}
 */
export function initialState(playback) {
  return {
    info: null,
    presets: [],
    story: newStory(),
    boardOpen: false,
    rewrite: noRewrite(),
    undo: [],
    saved: [],
    // A prompt is enough for a stream that goes on.
    toggles: { keepGoing: true, loop: false, singleClip: false, enhance: false },
    advanced: { seed: null, steps: null, negative: "" },
    image: null,
    snapshot: null,
    session: newSession(),
    playback,
    record: false,
    recording: { bytes: 0, dropped: 0 },
    lastStart: null,
    notices: [],
    noticeCount: 0,
  };
}

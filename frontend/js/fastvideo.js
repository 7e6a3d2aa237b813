/**
 * What other pages may import from a server, at `/js/fastvideo.js`: live streams in a video element. docs/javascript.md shows how. What is
 * exported here stays as it is; the modules behind it are the page's own.
 *
 * @typedef {import("./live_stream.js").StreamOptions} StreamOptions
 * @typedef {import("./live_stream.js").PromptOptions} PromptOptions
 * @typedef {import("./session.js").Session} Session
 * @typedef {import("./media/player.js").PlayerStats} PlayerStats
 * @typedef {import("./connection.js").ConnectionEvents} ConnectionEvents
 * @typedef {import("./protocol.js").ClientMessage} ClientMessage
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 */

export { KeyRefused, tokenSubprotocols } from "./access.js";
export { Connection, streamUrl } from "./connection.js";
export { LiveStream } from "./live_stream.js";
export { Feed } from "./media/feed.js";
export { Player } from "./media/player.js";
export { Recording } from "./media/recording.js";

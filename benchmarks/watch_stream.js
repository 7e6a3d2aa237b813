// Runs in the page before its own scripts: notes what goes over its WebSocket, and when (ms of the page's clock).
{
  const log = { entered_ms: null, fragment_ms: null, binaries: 0, complete: [], durations: {} };
  window.__watched = log;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") log.entered_ms ??= performance.now();
  }, true);
  const heard = ({ data }) => {
    if (typeof data !== "string") {
      log.binaries += 1;
      // The first binary message is the init segment.
      if (log.binaries === 2) log.fragment_ms = performance.now();
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "ltx2_segment_complete") log.complete.push(message);
    if (message.type === "media_segment_complete") log.durations[message.segment_idx] = message.duration_ms;
  };
  window.WebSocket = class extends WebSocket {
    constructor(...address) {
      super(...address);
      this.addEventListener("message", heard);
    }
  };
}

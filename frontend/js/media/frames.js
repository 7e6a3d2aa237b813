/**
 * Calls back once for each picture that the browser shows, with its time; where the browser can't tell, at each time update.
 * @param {HTMLVideoElement} video
 * @param {(position_s: number) => void} shown
 */
export function onEachFrame(video, shown) {
  if (!("requestVideoFrameCallback" in video)) {
    const element = /** @type {HTMLVideoElement} */ (video);
    element.addEventListener("timeupdate", () => shown(element.currentTime));
    return;
  }
  /** @param {number} _ @param {VideoFrameCallbackMetadata} metadata */
  const next = (_, metadata) => {
    video.requestVideoFrameCallback(next);
    shown(metadata.mediaTime);
  };
  video.requestVideoFrameCallback(next);
}

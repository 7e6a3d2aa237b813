// Runs in the page: notes every picture that is presented, by the strip that the server burns in (fastvideo/media/strip.py),
// and every event that means playback did not go smoothly.
() => {
  const CELLS = 32;
  const HEIGHT = 16;
  const video = document.querySelector("video");
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const log = { seen: [], events: [] };

  const crc = (bits) =>
    bits.reduce((rest, bit) => {
      const top = (rest >> 5) ^ bit;
      return ((rest << 1) & 63) ^ (top ? 3 : 0);
    }, 63);

  const number = (bits) => bits.reduce((value, bit) => value * 2 + bit, 0);

  const readStrip = () => {
    canvas.width = video.videoWidth;
    canvas.height = HEIGHT;
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, HEIGHT);
    const wide = Math.floor(canvas.width / CELLS);
    const levels = Array.from({ length: CELLS }, (_, cell) => {
      let sum = 0;
      let count = 0;
      for (let y = HEIGHT / 4; y < (3 * HEIGHT) / 4; y += 1) {
        for (let x = Math.ceil(wide / 4); x < Math.floor((3 * wide) / 4); x += 1) {
          const at = 4 * (y * canvas.width + cell * wide + x);
          sum += 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
          count += 1;
        }
      }
      return sum / count;
    });
    const whites = (levels[0] + levels[31]) / 2;
    const blacks = (levels[1] + levels[30]) / 2;
    if (whites - blacks < 48) return null;
    const bits = levels.map((level) => (level > (whites + blacks) / 2 ? 1 : 0));
    if (bits[0] !== 1 || bits[1] !== 0 || bits[30] !== 0 || bits[31] !== 1) return null;
    if (crc(bits.slice(2, 24)) !== number(bits.slice(24, 30))) return null;
    return [number(bits.slice(2, 12)), number(bits.slice(12, 24))];
  };

  const presented = (_, { presentedFrames, mediaTime }) => {
    video.requestVideoFrameCallback(presented);
    log.seen.push({ strip: readStrip(), count: presentedFrames, time_s: mediaTime });
  };
  video.requestVideoFrameCallback(presented);
  for (const type of ["waiting", "stalled", "seeking", "error", "ended", "playing"]) {
    video.addEventListener(type, () => log.events.push({ type, time_s: video.currentTime }));
  }

  // Shows one moment while playback stands still, and reads the strip of what is presented then; null after two seconds.
  log.look = (time_s) =>
    new Promise((resolve) => {
      setTimeout(resolve, 2000, null);
      video.requestVideoFrameCallback(() => resolve(readStrip()));
      video.currentTime = time_s;
    });
  window.__frames = log;
}

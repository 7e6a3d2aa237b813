// Runs in the page before its own scripts: notes how a stream plays. Times are milliseconds of the page's clock.
{
  const LOOK_EVERY_MS = 250;
  // With so much in hand the page's player goes on, whatever made the picture stand.
  const IN_HAND_S = 1;
  // Pictures around a sound that tell which one was on screen with it.
  const PICTURES = 24;
  const player = () => __fastvideo.player;
  const log = {
    generated_ms: {}, first_fragment_ms: {}, durations_ms: {}, prompts: [], sources: [], leads_s: [], late: 0,
    starts: [], least_ahead_s: Infinity, most_ahead_s: 0, longest_stand_ms: 0, most_stuck_looks: 0, offsets: [], other_sounds: 0,
  };
  window.__watched = log;

  const heard = ({ data }) => {
    if (typeof data !== "string") return;
    const message = JSON.parse(data);
    if (message.type === "ltx2_segment_start") {
      const { end_s, position_s } = player();
      log.prompts.push(message.prompt);
      log.sources.push(message.source);
      log.leads_s.push(end_s - position_s);
    }
    if (message.type === "ltx2_segment_complete") {
      log.generated_ms[message.segment_idx] = message.generation_time_ms;
      log.first_fragment_ms[message.segment_idx] = message.timings.first_fragment;
    }
    if (message.type === "media_segment_complete") log.durations_ms[message.segment_idx] = message.duration_ms;
    if (message.type === "deadline_missed") log.late += 1;
  };
  window.WebSocket = class extends WebSocket {
    constructor(...address) {
      super(...address);
      this.addEventListener("message", heard);
    }
  };

  const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

  /** Begins to watch; `meter` is the source of the worklet that hears plucks. */
  log.begin = async (meter) => {
    const video = document.querySelector("video");
    video.addEventListener("playing", () => log.starts.push({ at_ms: performance.now(), position_s: video.currentTime }));

    let before_s = 0;
    let moved_ms = performance.now();
    let stuck_looks = 0;
    setInterval(() => {
      const now_ms = performance.now();
      const { state, position_s, ahead_s } = player();
      if (log.starts.length > 0 && position_s === before_s) log.longest_stand_ms = Math.max(log.longest_stand_ms, now_ms - moved_ms);
      else moved_ms = now_ms;
      // Counted, not timed: a page that has no core to run on looks less often, too.
      stuck_looks = log.starts.length > 0 && position_s === before_s && ahead_s >= IN_HAND_S ? stuck_looks + 1 : 0;
      log.most_stuck_looks = Math.max(log.most_stuck_looks, stuck_looks);
      before_s = position_s;
      log.most_ahead_s = Math.max(log.most_ahead_s, ahead_s);
      if (state === "playing") log.least_ahead_s = Math.min(log.least_ahead_s, ahead_s);
    }, LOOK_EVERY_MS);

    // A picture's moment on the timeline less the moment when it is shown: constant while playback runs.
    const pictures = [];
    const presented = (_, { mediaTime, expectedDisplayTime }) => {
      video.requestVideoFrameCallback(presented);
      pictures.push(1000 * mediaTime - expectedDisplayTime);
      if (pictures.length > PICTURES) pictures.shift();
    };
    video.requestVideoFrameCallback(presented);

    const audio = new AudioContext();
    const address = URL.createObjectURL(new Blob([meter], { type: "text/javascript" }));
    await audio.audioWorklet.addModule(address);
    const plucks = new AudioWorkletNode(audio, "plucks", { numberOfOutputs: 0 });
    const source = audio.createMediaElementSource(video);
    source.connect(audio.destination);
    // Coding noise lies above what is listened to.
    const low = [1, 2].map(() => new BiquadFilterNode(audio, { type: "lowpass", frequency: 2500 }));
    source.connect(low[0]).connect(low[1]).connect(plucks);
    plucks.port.onmessage = ({ data: at_s }) => {
      if (pictures.length < PICTURES) return;
      const { contextTime, performanceTime } = audio.getOutputTimestamp();
      const shown_ms = middle(pictures) + performanceTime + 1000 * (at_s - contextTime);
      // The stream plucks on each full second of its timeline.
      const offset_ms = shown_ms - 1000 * Math.round(shown_ms / 1000);
      if (Math.abs(offset_ms) < 250) log.offsets.push({ position_s: shown_ms / 1000, offset_ms });
      else log.other_sounds += 1;
    };
  };
}

// In the audio thread: tells when the fake generator's pluck begins. It is two octaves above the lowest voice of the chord under it, so
// that in the third difference, which grows with the cube of the frequency, it drowns that chord whatever its key.
const ATTACK_S = 0.002;
const MEMORY_S = 0.25;
const TIMES_LOUDER = 4;
const REST_S = 0.6;

registerProcessor(
  "plucks",
  class extends AudioWorkletProcessor {
    #past = [0, 0, 0];
    #level = 0;
    #before = 0;
    #heard_s = 0;

    process([input]) {
      const channels = input.length;
      if (channels === 0) return true;
      const fast = 1 / (ATTACK_S * sampleRate);
      const slow = 1 / (MEMORY_S * sampleRate);
      for (let index = 0; index < input[0].length; index += 1) {
        let sample = 0;
        for (const channel of input) sample += channel[index] / channels;
        const [a, b, c] = this.#past;
        const edge = Math.abs(sample - 3 * a + 3 * b - c);
        this.#past = [sample, a, b];
        this.#level += (edge - this.#level) * fast;
        const at_s = currentTime + index / sampleRate;
        if (this.#level > TIMES_LOUDER * this.#before && this.#before > 0 && at_s - this.#heard_s > REST_S) {
          this.#heard_s = at_s;
          this.port.postMessage(at_s);
        }
        this.#before += (this.#level - this.#before) * slow;
      }
      return true;
    }
  },
);

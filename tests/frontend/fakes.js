/** Stand-ins for what only a browser has. */

/** A SourceBuffer that finishes an operation when the test says so. */
export class FakeSourceBuffer extends EventTarget {
  updating = false;
  /** @type {string[]} */
  done = [];
  /** How many appends fit before the buffer is full. */
  room = Infinity;

  appendBuffer(data) {
    this.#begin();
    if (this.room <= 0) {
      this.updating = false;
      throw new DOMException("full", "QuotaExceededError");
    }
    this.room -= 1;
    this.done.push(`append ${data.byteLength}`);
  }

  remove(start_s, end_s) {
    this.#begin();
    this.room += 1;
    this.done.push(`remove ${start_s}-${end_s}`);
  }

  changeType(mime) {
    if (this.updating) throw new DOMException("busy", "InvalidStateError");
    this.done.push(`type ${mime}`);
  }

  finish() {
    this.updating = false;
    this.dispatchEvent(new Event("updateend"));
  }

  fail() {
    this.updating = false;
    this.dispatchEvent(new Event("error"));
    this.dispatchEvent(new Event("updateend"));
  }

  #begin() {
    if (this.updating) throw new DOMException("busy", "InvalidStateError");
    this.updating = true;
  }
}

/** TimeRanges from [start, end] pairs. */
export const ranges = (...pairs) => ({
  length: pairs.length,
  start: (index) => pairs[index][0],
  end: (index) => pairs[index][1],
});

const bytesOf = (text) => Array.from(text, (letter) => letter.charCodeAt(0));

/** One box of an MP4 file. */
export function box(type, ...contents) {
  const body = contents.flatMap((part) => Array.from(part));
  const size = 8 + body.length;
  return Uint8Array.from([...u32(size), ...bytesOf(type), ...body]);
}

export const u32 = (value) => [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
export const u64 = (value) => [...u32(Math.floor(value / 2 ** 32)), ...u32(value % 2 ** 32)];

/** An init segment with these tracks: id to timescale. */
export function initSegment(tracks, brand = "isom") {
  const traks = Object.entries(tracks).map(([id, timescale]) =>
    box(
      "trak",
      box("tkhd", u32(0), u32(0), u32(0), u32(Number(id)), u32(0)),
      box("mdia", box("mdhd", u32(0), u32(0), u32(0), u32(timescale), u32(0))),
    ),
  );
  return Uint8Array.from([...box("ftyp", bytesOf(brand)), ...box("moov", ...traks)]);
}

/** One moof+mdat pair; times by track id. */
export function fragment(times, payload = 4, wide = true) {
  const trafs = Object.entries(times).map(([id, time]) =>
    box("traf", box("tfhd", u32(0), u32(Number(id))), box("tfdt", u32(wide ? 0x01000000 : 0), wide ? u64(time) : u32(time))),
  );
  return Uint8Array.from([...box("moof", ...trafs), ...box("mdat", new Uint8Array(payload))]);
}

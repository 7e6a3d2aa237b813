/**
 * The few facts about fragmented MP4 that the page needs: where boxes begin, which bytes are an init segment, and when a fragment plays.
 * @typedef {{type: string, start: number, end: number, body: number}} Box byte offsets; `body` is the first byte after the header
 * @typedef {{trackId: number, time: bigint, offset: number, wide: boolean}} DecodeTime `offset` is where the number lies in the bytes
 */

/** @param {Uint8Array} bytes */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * The boxes that lie side by side between two offsets.
 * @param {Uint8Array} bytes
 * @param {number} [from]
 * @param {number} [to]
 * @returns {Box[]}
 * @throws {RangeError} when a box is cut off or its size makes no sense
 */
export function readBoxes(bytes, from = 0, to = bytes.byteLength) {
  const view = viewOf(bytes);
  const found = [];
  for (let start = from; start < to; ) {
    if (to - start < 8) throw new RangeError(`expected a box header at byte ${start}, found ${to - start} bytes`);
    let size = view.getUint32(start);
    let body = start + 8;
    if (size === 1) {
      if (to - start < 16) throw new RangeError(`expected a 64-bit box size at byte ${start}, found ${to - start} bytes`);
      size = Number(view.getBigUint64(start + 8));
      body = start + 16;
    } else if (size === 0) {
      size = to - start;
    }
    if (start + size < body || start + size > to) {
      throw new RangeError(`expected a box of at most ${to - start} bytes at byte ${start}, its header says ${size}`);
    }
    const type = String.fromCharCode(...bytes.subarray(start + 4, start + 8));
    found.push({ type, start, end: start + size, body });
    start += size;
  }
  return found;
}

/**
 * The boxes found by following one type after the other from the top.
 * @param {Uint8Array} bytes
 * @param {string[]} path
 * @returns {Box[]}
 */
export function findBoxes(bytes, path) {
  let level = readBoxes(bytes);
  path.forEach((type, depth) => {
    level = level.filter((box) => box.type === type);
    if (depth < path.length - 1) level = level.flatMap((box) => readBoxes(bytes, box.body, box.end));
  });
  return level;
}

/** @param {Uint8Array} bytes */
export function isInitSegment(bytes) {
  return bytes.byteLength >= 8 && readBoxes(bytes)[0]?.type === "ftyp";
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
export function sameBytes(a, b) {
  if (a.byteLength !== b.byteLength) return false;
  return a.every((value, index) => value === b[index]);
}

/**
 * The number of the last fragment.
 * @param {Uint8Array} bytes whole boxes
 * @returns {number | null} null without a fragment
 */
export function lastSequence(bytes) {
  const header = findBoxes(bytes, ["moof", "mfhd"]).at(-1);
  return header ? viewOf(bytes).getUint32(header.body + 4) : null;
}

/**
 * Ticks per second of each track.
 * @param {Uint8Array} init an init segment
 * @returns {Map<number, number>} track id to timescale (Hz)
 */
export function trackTimescales(init) {
  const view = viewOf(init);
  /** @type {Map<number, number>} */
  const timescales = new Map();
  for (const trak of findBoxes(init, ["moov", "trak"])) {
    const parts = readBoxes(init, trak.body, trak.end);
    const header = parts.find((box) => box.type === "tkhd");
    const media = parts.find((box) => box.type === "mdia");
    const mediaHeader = media && readBoxes(init, media.body, media.end).find((box) => box.type === "mdhd");
    if (!header || !mediaHeader) throw new RangeError("expected tkhd and mdia/mdhd in every trak");
    // Version 1 stores creation and modification time in 64 bits each.
    const trackId = view.getUint32(header.body + (init[header.body] === 1 ? 20 : 12));
    timescales.set(trackId, view.getUint32(mediaHeader.body + (init[mediaHeader.body] === 1 ? 20 : 12)));
  }
  return timescales;
}

/**
 * The decode time of each track run in some fragments.
 * @param {Uint8Array} fragments one or more whole moof+mdat pairs
 * @returns {DecodeTime[]}
 */
export function decodeTimes(fragments) {
  const view = viewOf(fragments);
  return findBoxes(fragments, ["moof", "traf"]).map((traf) => {
    const parts = readBoxes(fragments, traf.body, traf.end);
    const header = parts.find((box) => box.type === "tfhd");
    const decode = parts.find((box) => box.type === "tfdt");
    if (!header || !decode) throw new RangeError("expected tfhd and tfdt in every traf");
    const wide = fragments[decode.body] === 1;
    const offset = decode.body + 4;
    return {
      trackId: view.getUint32(header.body + 4),
      time: wide ? view.getBigUint64(offset) : BigInt(view.getUint32(offset)),
      offset,
      wide,
    };
  });
}

/**
 * A copy of the fragments that plays earlier.
 * @param {Uint8Array} fragments
 * @param {Map<number, bigint>} ticksByTrack how many ticks to take off, by track id
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function playEarlier(fragments, ticksByTrack) {
  const moved = new Uint8Array(fragments);
  const view = viewOf(moved);
  for (const { trackId, time, offset, wide } of decodeTimes(fragments)) {
    const earlier = time - (ticksByTrack.get(trackId) ?? 0n);
    if (earlier < 0n) throw new RangeError(`track ${trackId} would start ${-earlier} ticks before zero`);
    if (wide) view.setBigUint64(offset, earlier);
    else view.setUint32(offset, Number(earlier));
  }
  return moved;
}

/**
 * Questions about what is buffered. All times in seconds; `ranges` is a TimeRanges, or anything shaped like one.
 * @typedef {{readonly length: number, start(index: number): number, end(index: number): number}} Ranges
 */

/** Two ranges closer than this play as one: browsers bridge it themselves. */
const JOIN_S = 0.02;

/**
 * How much can be played from a position without a hole.
 * @param {Ranges} ranges
 * @param {number} position_s
 */
export function ahead(ranges, position_s) {
  let end_s = position_s;
  for (let index = 0; index < ranges.length; index += 1) {
    if (ranges.start(index) <= end_s + JOIN_S && ranges.end(index) > end_s) end_s = ranges.end(index);
  }
  return end_s - position_s;
}

/**
 * Where the next range begins that a position can't reach without jumping.
 * @param {Ranges} ranges
 * @param {number} position_s
 * @returns {number | null}
 */
export function nextStart(ranges, position_s) {
  const reach_s = position_s + ahead(ranges, position_s);
  for (let index = 0; index < ranges.length; index += 1) {
    if (ranges.start(index) > reach_s + JOIN_S) return ranges.start(index);
  }
  return null;
}

/**
 * What to remove so that only `keep_s` seconds behind the position stay.
 * @param {Ranges} ranges
 * @param {number} position_s
 * @param {number} keep_s
 * @returns {{start_s: number, end_s: number} | null} null when there is too little to be worth an operation
 */
export function evictable(ranges, position_s, keep_s) {
  if (ranges.length === 0) return null;
  const start_s = ranges.start(0);
  const end_s = position_s - keep_s;
  return end_s - start_s >= 1 ? { start_s, end_s } : null;
}

/**
 * @param {Ranges} ranges
 * @returns {{start_s: number, end_s: number} | null} from the first to the last buffered moment
 */
export function extent(ranges) {
  return ranges.length === 0 ? null : { start_s: ranges.start(0), end_s: ranges.end(ranges.length - 1) };
}

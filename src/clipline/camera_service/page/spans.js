/** When a camera recorded: what of the timeline is known, fetched as it is looked at. */
import * as api from "./api.js";

const DAY_MS = 86_400_000;
const LONGEST_MS = 399 * DAY_MS; // what the server tells at a time

export class Spans {
  /** @param {function()} onChange called when more is known */
  constructor(onChange) {
    this.onChange = onChange;
    this.clear(null);
  }

  clear(cameraId) {
    this.cameraId = cameraId;
    this.from = this.to = 0;
    this.list = [];
    this.growing = null;
    this.firstMs = this.lastMs = null;
    this.asked = null;
  }

  /** Make sure that [from, to) is known, with as much on either side. */
  async want(from, to, { again = false } = {}) {
    if (!this.cameraId || (!again && from >= this.from && to <= this.to)) return;
    const margin = Math.max(0, Math.min(to - from, 120 * DAY_MS, (LONGEST_MS - (to - from)) / 2));
    const asked = { cameraId: this.cameraId, from: Math.max(0, from - margin), to: to + margin };
    if (!again && this.asked && from >= this.asked.from && to <= this.asked.to) return;
    this.asked = asked;
    try {
      const told = await api.timeline(asked.cameraId, asked.from, asked.to);
      if (this.asked !== asked) return;
      this.from = asked.from;
      this.to = asked.to;
      this.list = told.spans;
      this.growing = told.growing;
      this.firstMs = told.firstTimestampInMs;
      this.lastMs = told.lastTimestampInMs;
      this.onChange();
    } finally {
      if (this.asked === asked) this.asked = null;
    }
  }

  knows(ms) {
    return ms >= this.from && ms < this.to;
  }

  /** The span that shows the instant, or undefined. */
  at(ms) {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle][1] <= ms) low = middle + 1;
      else high = middle;
    }
    const span = this.list[low];
    return span && span[0] <= ms ? span : undefined;
  }
}

/** The parts of [from, to) that none of the spans covers. */
export function gapsOf(spans, from, to) {
  const gaps = [];
  let at = from;
  for (const [start, end] of spans) {
    if (start >= to) break;
    if (start > at) gaps.push([at, start]);
    at = Math.max(at, end);
  }
  if (at < to) gaps.push([at, to]);
  return gaps;
}

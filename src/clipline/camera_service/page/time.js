/** Instants are milliseconds since the epoch; people read them in local time or in UTC. */

const KEY = "clipline.zone";
const listeners = new Set();
let zone = localStorage.getItem(KEY) === "utc" ? "utc" : "local";

export const currentZone = () => zone;
export const onZone = (listener) => listeners.add(listener);

export function setZone(next) {
  zone = next;
  localStorage.setItem(KEY, next);
  for (const listener of listeners) listener();
}

const two = (number) => String(number).padStart(2, "0");

/** {year, month (1 to 12), day, hour, minute, second, ms} in the zone. */
export function partsOf(instant, inZone = zone) {
  const date = new Date(instant);
  return inZone === "utc"
    ? { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), hour: date.getUTCHours(), minute: date.getUTCMinutes(), second: date.getUTCSeconds(), ms: date.getUTCMilliseconds() }
    : { year: date.getFullYear(), month: date.getMonth() + 1, day: date.getDate(), hour: date.getHours(), minute: date.getMinutes(), second: date.getSeconds(), ms: date.getMilliseconds() };
}

export function instantOf(year, month, day, hour = 0, minute = 0, second = 0, ms = 0) {
  return zone === "utc" ? Date.UTC(year, month - 1, day, hour, minute, second, ms) : new Date(year, month - 1, day, hour, minute, second, ms).getTime();
}

export function day(instant, inZone = zone) {
  const { year, month, day: number } = partsOf(instant, inZone);
  return `${year}-${two(month)}-${two(number)}`;
}

export function clock(instant, digits = 3, inZone = zone) {
  const { hour, minute, second, ms } = partsOf(instant, inZone);
  const fraction = digits ? `.${String(ms).padStart(3, "0").slice(0, digits)}` : "";
  return `${two(hour)}:${two(minute)}:${two(second)}${fraction}`;
}

export const full = (instant, digits = 3, inZone = zone) => `${day(instant, inZone)} ${clock(instant, digits, inZone)}`;

/** Both, where they differ: "2026-11-25 14:03:07.250 (UTC 13:03:07.250)". */
export function other(instant, digits = 3) {
  const next = zone === "utc" ? "local" : "utc";
  const name = next === "utc" ? "UTC" : "local";
  const sameDay = day(instant, "utc") === day(instant, "local");
  return `${name} ${sameDay ? clock(instant, digits, next) : full(instant, digits, next)}`;
}

/** Where the day begins that the instant lies in, and where it ends: 23, 24 or 25 hours. */
export function dayOf(instant) {
  const { year, month, day: number } = partsOf(instant);
  return [instantOf(year, month, number), instantOf(year, month, number + 1)];
}

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(3))} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Number(((ms % 60_000) / 1000).toFixed(3))} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

/** "in 3 min", "any moment" */
export function until(instant) {
  const left = instant - Date.now();
  if (left < 2000) return "any moment now";
  return `in ${left < 90_000 ? `${Math.round(left / 1000)} s` : `${Math.round(left / 60_000)} min`}`;
}

/**
 * The instant that a person typed; throws an Error that says what would be right.
 * @param {number} near its day is meant where only a time of day is typed
 */
export function parse(text, near) {
  const typed = text.trim();
  if (/^\d{11,15}$/.test(typed)) return Number(typed);
  const match = /^(?:(\d{4})-(\d\d?)-(\d\d?)[T ]+)?(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,3}))?)?\s*(Z|UTC|[+-]\d\d:?\d\d)?$/i.exec(typed);
  if (!match) throw new Error("Expected a time as in 2026-11-25 14:03:07.250, or milliseconds since 1970.");
  const [, year, month, date, hour, minute, second = "0", fraction = "0", offset] = match;
  const today = partsOf(near, offset ? "utc" : zone);
  const numbers = [Number(year ?? today.year), Number(month ?? today.month), Number(date ?? today.day), Number(hour), Number(minute), Number(second), Number(fraction.padEnd(3, "0"))];
  const [y, m, d, h, min, s] = numbers;
  if (m < 1 || m > 12 || d < 1 || d > new Date(Date.UTC(y, m, 0)).getUTCDate() || h > 23 || min > 59 || s > 59) {
    throw new Error("There is no such time.");
  }
  if (!offset) return instantOf(...numbers);
  const utc = Date.UTC(y, m - 1, d, h, min, s, numbers[6]);
  if (/^(Z|UTC)$/i.test(offset)) return utc;
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(-2));
  return utc - (offset[0] === "-" ? -1 : 1) * minutes * 60_000;
}

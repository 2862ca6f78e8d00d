/** How the timeline looks. */
import { clock, day, duration, instantOf, partsOf } from "./time.js";

const RULER = 26;
const BAND_TOP = 34;
const BAND = 40;
const MARK_TOP = 82;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE,
  10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY,
];
const LABEL_PX = 78;

/** @param {import("./timeline.js").Timeline} timeline */
export function draw(timeline) {
  const { canvas, width } = timeline;
  const height = timeline.element.clientHeight;
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const style = getComputedStyle(timeline.element);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `12px ${style.fontFamily}`;
  context.textBaseline = "middle";
  drawRuler(context, timeline, height, colour);
  drawBand(context, timeline, colour);
  drawMarks(context, timeline, colour);
  drawSelection(context, timeline, height, colour);
  drawCursor(context, timeline, height, colour);
}

function drawRuler(context, timeline, height, colour) {
  const step = STEPS.find((one) => one / timeline.msPerPx() >= LABEL_PX) ?? STEPS.at(-1);
  context.textAlign = "center";
  for (const tick of ticks(timeline.from, timeline.to, step)) {
    const x = Math.round(timeline.toPx(tick)) + 0.5;
    context.fillStyle = colour("line");
    context.fillRect(x, RULER - 4, 1, height - RULER);
    context.fillStyle = colour("dim");
    const inside = Math.min(Math.max(x, 30), timeline.width - 30);
    if (step >= MINUTE || Math.abs(inside - x) < 10) context.fillText(label(tick, step), inside, 13); // a long one would touch its neighbour
  }
}

/** Instants that are whole in the zone people read, days by the calendar: they have 23 to 25 hours. */
function* ticks(from, to, step) {
  if (step >= DAY) {
    const { year, month, day: first } = partsOf(from);
    for (let number = 0, at = 0; at < to; number += step / DAY) {
      at = instantOf(year, month, first + number);
      if (at >= from && at < to) yield at;
    }
    return;
  }
  const { year, month, day: first, hour } = partsOf(from);
  const origin = step > HOUR ? instantOf(year, month, first) : instantOf(year, month, first, hour);
  for (let at = origin + Math.floor((from - origin) / step) * step; at < to; at += step) if (at >= from) yield at;
}

function label(tick, step) {
  if (step >= DAY) return day(tick).slice(5);
  const { hour, minute, second, ms } = partsOf(tick);
  if (hour + minute + second + ms === 0) return day(tick).slice(5);
  if (step >= MINUTE) return clock(tick, 0).slice(0, 5);
  return step >= SECOND ? clock(tick, 0) : clock(tick, 3).slice(6);
}

function drawBand(context, timeline, colour) {
  const { spans, width } = timeline;
  context.save();
  context.beginPath();
  context.roundRect(0, BAND_TOP, width, BAND, 4);
  context.clip();
  const now = Math.min(width, timeline.toPx(Date.now()));
  hatch(context, 0, now, colour("gap"));
  for (const [start, end] of spans.list) {
    if (end <= timeline.from || start >= timeline.to) continue;
    const left = timeline.toPx(start);
    const wide = Math.max(1.5, timeline.toPx(end) - left);
    context.fillStyle = colour("sunken");
    context.fillRect(left, BAND_TOP, wide, BAND);
    context.fillStyle = colour("covered");
    context.fillRect(left, BAND_TOP, wide, BAND);
    context.fillStyle = colour("covered-edge");
    context.fillRect(left, BAND_TOP, wide, 2);
  }
  if (spans.growing) drawGrowing(context, timeline, colour);
  context.restore();
}

function drawGrowing(context, timeline, colour) {
  const left = timeline.toPx(timeline.spans.growing.startTimestampInMs);
  const right = timeline.toPx(Date.now());
  if (right <= 0 || left >= timeline.width) return;
  context.save();
  context.globalAlpha = 0.45;
  context.fillStyle = colour("covered");
  context.fillRect(left, BAND_TOP, right - left, BAND);
  context.restore();
  if (right - left > 110) {
    context.fillStyle = colour("text");
    context.textAlign = "left";
    context.fillText("being recorded", Math.max(left, 0) + 8, BAND_TOP + BAND / 2);
  }
}

/** Where something could have been recorded: the future stays empty. */
function hatch(context, left, right, colour) {
  if (right <= left) return;
  context.save();
  context.beginPath();
  context.rect(left, BAND_TOP, right - left, BAND);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1.2;
  context.beginPath();
  for (let x = left - BAND; x < right; x += 7) {
    context.moveTo(x, BAND_TOP + BAND);
    context.lineTo(x + BAND, BAND_TOP);
  }
  context.stroke();
  context.restore();
}

function drawMarks(context, timeline, colour) {
  for (const { start, end, current, ready } of timeline.marks) {
    if (end <= timeline.from || start >= timeline.to) continue;
    const left = timeline.toPx(start);
    context.globalAlpha = ready ? 1 : 0.5;
    context.fillStyle = current ? colour("accent") : colour("mark-fill");
    context.beginPath();
    context.roundRect(left, MARK_TOP, Math.max(4, timeline.toPx(end) - left), current ? 9 : 6, 3);
    context.fill();
    context.globalAlpha = 1;
  }
  const now = timeline.toPx(Date.now());
  if (now >= 0 && now <= timeline.width) {
    context.fillStyle = colour("bad");
    context.fillRect(now, RULER, 1.5, BAND_TOP + BAND - RULER + 4);
  }
}

function drawSelection(context, timeline, height, colour) {
  if (!timeline.selection) return;
  const { start, end } = timeline.selection;
  const left = timeline.toPx(start);
  const right = timeline.toPx(end);
  context.fillStyle = colour("mark-fill");
  context.globalAlpha = 0.28;
  context.fillRect(left, RULER, right - left, height - RULER);
  context.globalAlpha = 1;
  for (const x of [left, right]) {
    context.fillRect(x - 1.5, RULER - 2, 3, height - RULER);
    context.beginPath();
    context.roundRect(x - 5, BAND_TOP + BAND / 2 - 10, 10, 20, 4);
    context.fill();
    context.fillStyle = "#00000088";
    context.fillRect(x - 0.5, BAND_TOP + BAND / 2 - 5, 1, 10);
    context.fillStyle = colour("mark-fill");
  }
  const text = duration(end - start);
  if (right - left > context.measureText(text).width + 26) {
    context.textAlign = "center";
    context.fillStyle = colour("text");
    context.fillText(text, (Math.max(left, 0) + Math.min(right, timeline.width)) / 2, BAND_TOP + BAND / 2);
  }
}

function drawCursor(context, timeline, height, colour) {
  const x = timeline.toPx(timeline.cursor);
  if (x < 0 || x > timeline.width) return;
  context.fillStyle = colour("text");
  context.fillRect(x - 0.75, RULER - 4, 1.5, height - RULER + 4);
  context.beginPath();
  context.moveTo(x - 5, RULER - 5);
  context.lineTo(x + 5, RULER - 5);
  context.lineTo(x, RULER + 2);
  context.fill();
}

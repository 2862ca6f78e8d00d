/** The timeline: what it shows (from, to), the cursor and the selection; drawn by timeline_drawing.js. */
import { clock, day, duration, full, other } from "./time.js";
import { draw } from "./timeline_drawing.js";

const LEAST_MS = 400;
const MOST_MS = 390 * 86_400_000;
const GRIP_PX = 9;
const FRAME_MS = 40;

/**
 * @typedef {Object} Handlers
 * @property {function(number, boolean)} onCursor an instant, and whether it was meant (clicked, or by key) rather than passed over
 * @property {function(?{start: number, end: number})} onSelect
 * @property {function(number, number)} onView
 * @property {function()} onEnter the selection is what to cut
 */
export class Timeline {
  /** @param {Handlers} handlers */
  constructor(element, spans, handlers) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.spans = spans;
    this.handlers = handlers;
    this.marks = [];
    this.selection = null;
    this.cursor = Date.now();
    this.hovering = false;
    this.from = this.cursor - 3_600_000;
    this.to = this.cursor;
    this.pointers = new Map();
    this.drag = null;
    this.scheduled = false;
    new ResizeObserver(() => this.redraw()).observe(element);
    this.listen();
  }

  listen() {
    const on = (name, handler, options) => this.element.addEventListener(name, handler, options);
    on("pointerdown", (event) => this.pointerDown(event));
    on("pointermove", (event) => this.pointerMove(event));
    on("pointerup", (event) => this.pointerUp(event));
    on("pointercancel", (event) => this.pointerUp(event));
    on("pointerleave", () => {
      this.hovering = false;
      this.redraw();
    });
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("keydown", (event) => this.key(event));
    on("contextmenu", (event) => this.drag && event.preventDefault());
  }

  get width() {
    return this.element.clientWidth || 1;
  }

  msPerPx() {
    return (this.to - this.from) / this.width;
  }

  toPx(ms) {
    return (ms - this.from) / this.msPerPx();
  }

  toMs(px) {
    return this.from + px * this.msPerPx();
  }

  setView(from, to) {
    const width = Math.min(Math.max(to - from, LEAST_MS), MOST_MS);
    const middle = (from + to) / 2;
    this.from = Math.max(0, middle - width / 2);
    this.to = this.from + width;
    this.handlers.onView(this.from, this.to);
    this.redraw();
  }

  zoom(factor, around = this.cursor) {
    const at = around >= this.from && around <= this.to ? around : (this.from + this.to) / 2;
    const width = Math.min(Math.max((this.to - this.from) * factor, LEAST_MS), MOST_MS);
    const share = (at - this.from) / (this.to - this.from);
    this.setView(at - width * share, at + width * (1 - share));
  }

  /** Bring the instant into view, in the middle where it was not. */
  reveal(ms) {
    if (ms >= this.from && ms <= this.to) return;
    const width = this.to - this.from;
    this.setView(ms - width / 2, ms + width / 2);
  }

  setCursor(ms, meant) {
    this.cursor = Math.max(0, Math.round(ms));
    this.handlers.onCursor(this.cursor, meant);
    this.describe();
    this.redraw();
  }

  select(selection) {
    this.selection = selection;
    this.redraw();
  }

  changeSelection(start, end) {
    this.selection = start < end ? { start: Math.round(start), end: Math.round(end) } : null;
    this.handlers.onSelect(this.selection);
    this.redraw();
  }

  setEdge(edge) {
    const { start, end } = this.selection ?? {};
    if (edge === "start") this.changeSelection(this.cursor, end > this.cursor ? end : this.cursor + 10_000);
    else this.changeSelection(start < this.cursor ? start : this.cursor - 10_000, this.cursor);
  }

  edgeNear(px) {
    if (!this.selection) return null;
    const toStart = Math.abs(px - this.toPx(this.selection.start));
    const toEnd = Math.abs(px - this.toPx(this.selection.end));
    if (Math.min(toStart, toEnd) > GRIP_PX) return null;
    return toEnd <= toStart ? "end" : "start";
  }

  pointerDown(event) {
    this.element.setPointerCapture(event.pointerId);
    this.element.focus({ preventScroll: true });
    const px = event.offsetX;
    this.pointers.set(event.pointerId, px);
    if (this.pointers.size === 2) {
      const [a, b] = [...this.pointers.values()];
      this.drag = { kind: "pinch", apart: Math.max(20, Math.abs(a - b)), middle: this.toMs((a + b) / 2), width: this.to - this.from };
      return;
    }
    const edge = this.edgeNear(px);
    if (event.button === 1 || event.shiftKey) this.drag = { kind: "pan", px, from: this.from, to: this.to };
    else if (edge) this.drag = { kind: "edge", fixed: edge === "start" ? this.selection.end : this.selection.start };
    else if (event.pointerType === "touch") {
      this.drag = { kind: "scrub" };
      this.setCursor(this.toMs(px), true);
    } else this.drag = { kind: "select", px, ms: this.toMs(px), moved: false };
    this.element.classList.toggle("panning", this.drag.kind === "pan");
    event.preventDefault();
  }

  pointerMove(event) {
    const px = event.offsetX;
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, px);
    if (!this.drag) {
      if (event.pointerType === "touch") return;
      this.hovering = true;
      this.element.classList.toggle("edge", this.edgeNear(px) !== null);
      this.setCursor(this.toMs(px), false);
      return;
    }
    if (this.drag.kind === "pinch") this.pinch();
    else if (this.drag.kind === "pan") {
      const by = (px - this.drag.px) * ((this.drag.to - this.drag.from) / this.width);
      this.setView(this.drag.from - by, this.drag.to - by);
    } else if (this.drag.kind === "scrub") this.setCursor(this.toMs(px), false);
    else this.dragSelection(px);
  }

  pinch() {
    if (this.pointers.size < 2) return;
    const [a, b] = [...this.pointers.values()];
    const width = this.drag.width * (this.drag.apart / Math.max(20, Math.abs(a - b)));
    const share = (a + b) / 2 / this.width;
    this.setView(this.drag.middle - width * share, this.drag.middle + width * (1 - share));
  }

  dragSelection(px) {
    const at = this.toMs(px);
    if (this.drag.kind === "edge") this.changeSelection(Math.min(at, this.drag.fixed), Math.max(at, this.drag.fixed));
    else {
      if (!this.drag.moved && Math.abs(px - this.drag.px) < 4) return;
      this.drag.moved = true;
      this.changeSelection(Math.min(at, this.drag.ms), Math.max(at, this.drag.ms));
    }
    this.setCursor(at, false);
  }

  pointerUp(event) {
    this.pointers.delete(event.pointerId);
    const drag = this.drag;
    if (this.pointers.size) return;
    this.drag = null;
    this.element.classList.remove("panning");
    if (drag?.kind === "select" && !drag.moved) this.setCursor(this.toMs(event.offsetX), true);
    else if (drag && drag.kind !== "pan" && drag.kind !== "pinch") this.setCursor(this.cursor, true);
  }

  wheel(event) {
    event.preventDefault();
    const px = event.deltaMode === 1 ? 16 : 1;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      const by = (event.deltaX || event.deltaY) * px * this.msPerPx();
      this.setView(this.from + by, this.to + by);
    } else this.zoom(Math.exp(Math.max(-200, Math.min(200, event.deltaY * px)) * 0.003), this.toMs(event.offsetX));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey) return;
    const step = Math.max(FRAME_MS, this.msPerPx() * (event.shiftKey ? 60 : 6));
    const small = event.altKey ? FRAME_MS : step;
    const actions = {
      ArrowLeft: () => this.move(-small), ArrowRight: () => this.move(small),
      ",": () => this.move(-FRAME_MS), ".": () => this.move(FRAME_MS),
      PageUp: () => this.page(-1), PageDown: () => this.page(1),
      Home: () => this.spans.firstMs !== null && this.goTo(this.spans.firstMs),
      End: () => this.spans.lastMs !== null && this.goTo(this.spans.lastMs - 1),
      "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6),
      i: () => this.setEdge("start"), o: () => this.setEdge("end"),
      Escape: () => this.changeSelection(0, 0), Enter: () => this.handlers.onEnter(),
    };
    const action = actions[event.key] ?? actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  move(by) {
    this.goTo(this.cursor + by);
  }

  page(direction) {
    const width = this.to - this.from;
    this.setView(this.from + direction * width, this.to + direction * width);
    this.setCursor(this.cursor + direction * width, true);
  }

  goTo(ms) {
    this.reveal(ms);
    this.setCursor(ms, true);
  }

  /** For screen readers. */
  describe() {
    const ratio = (this.cursor - this.from) / (this.to - this.from);
    this.element.setAttribute("aria-valuenow", String(Math.max(0, Math.min(1, Number(ratio.toFixed(4))))));
    const recorded = this.spans.at(this.cursor) ? "recorded" : "not recorded";
    this.element.setAttribute("aria-valuetext", `${full(this.cursor)}, ${other(this.cursor)}, ${recorded}; shown are ${duration(this.to - this.from)} from ${day(this.from)} ${clock(this.from, 0)} on`);
  }

  redraw() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      draw(this);
    });
  }
}

/** What to cut: two instants to the millisecond, what is wrong with them, and the request. */
import * as api from "./api.js";
import { copy, debounced, el, icon, toast } from "./dom.js";
import { gapsOf } from "./spans.js";
import { clock, duration, full, onZone, other, parse, until } from "./time.js";

const LONGEST_SHOWN = 3;

export class IntervalForm {
  /**
   * @param {function(?{start: number, end: number})} onChange
   * @param {function(Object)} onRequested told the clip
   * @param {function("start"|"end")} onEdge put the cursor there
   */
  constructor(form, { cursor, camera, limits, onChange, onRequested, onEdge }) {
    Object.assign(this, { form, cursor, camera, limits, onChange, onRequested });
    this.selection = null;
    this.sending = false;
    this.start = this.field("start", "From", "Start", onEdge);
    this.end = this.field("end", "Up to", "End", onEdge);
    this.length = el("output", { class: "length", "aria-label": "Length" });
    this.button = el("button", { class: "primary", type: "submit", id: "request" }, icon("scissors"), "Request clip");
    this.notes = el("div", { class: "notes", role: "status", id: "interval-notes" });
    this.also = el("div", { class: "also", hidden: true },
      el("span", { class: "dim" }, "The same elsewhere:"),
      el("button", { type: "button", id: "copy-message", on: { click: () => this.copyEquivalent("message", "SQS message") } }, icon("copy"), "Copy SQS message"),
      this.commandButton = el("button", { type: "button", id: "copy-command", on: { click: () => this.copyEquivalent("command", "Command") } }, icon("copy"), "Copy command"),
      el("button", { type: "button", class: "quiet", on: { click: () => this.set(null, true) } }, "Clear"));
    form.append(this.start.box, this.end.box, el("div", { class: "send" }, this.length, this.button), this.notes, this.also);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.look = debounced(() => this.lookAtCoverage(), 200);
    onZone(() => this.write());
  }

  field(name, label, button, onEdge) {
    const input = el("input", { id: `${name}-time`, type: "text", autocomplete: "off", spellcheck: false, placeholder: "2026-11-25 14:03:07.250", "aria-describedby": `${name}-error` });
    const error = el("span", { class: "error", id: `${name}-error` });
    const set = el("button", { type: "button", title: `Put the ${button.toLowerCase()} where the cursor is (${name === "start" ? "I" : "O"})`, on: { click: () => onEdge(name) } }, button);
    set.setAttribute("aria-label", `${button} at the cursor`);
    for (const event of ["change", "blur"]) input.addEventListener(event, () => this.typed());
    input.addEventListener("input", () => this.complain({ input, error }, ""));
    const box = el("div", { class: "field" }, el("label", { for: input.id }, label), el("div", { class: "with" }, input, set), error);
    return { box, input, error };
  }

  complain(field, text) {
    field.error.textContent = text;
    field.input.setAttribute("aria-invalid", text ? "true" : "false");
  }

  /** From the timeline, or null for none. */
  set(selection, tell = false) {
    this.selection = selection;
    this.write();
    if (tell) this.onChange(selection);
  }

  write() {
    for (const [field, value] of [[this.start, this.selection?.start], [this.end, this.selection?.end]]) {
      field.input.value = value === undefined ? "" : full(value);
      field.input.title = value === undefined ? "" : other(value);
      this.complain(field, "");
    }
    this.judge();
  }

  /** @return whether both can be read */
  typed() {
    const values = {};
    let fine = true;
    for (const [name, field] of [["start", this.start], ["end", this.end]]) {
      const text = field.input.value;
      if (!text.trim()) {
        fine = false;
        continue;
      }
      try {
        values[name] = parse(text, values.start ?? this.selection?.start ?? this.cursor());
      } catch (error) {
        this.complain(field, error.message);
        fine = false;
      }
    }
    if (fine && values.end <= values.start) {
      this.complain(this.end, "The end has to come after the start.");
      fine = false;
    }
    if (fine && (values.start !== this.selection?.start || values.end !== this.selection?.end)) this.set(values, true);
    return fine;
  }

  judge() {
    const { selection } = this;
    this.notes.replaceChildren();
    this.also.hidden = !selection;
    this.length.textContent = selection ? duration(selection.end - selection.start) : "";
    this.button.disabled = !this.camera() || this.tooLong || this.sending;
    if (this.tooLong) this.note(`A clip may last ${duration(this.limits().clipLengthInMs)}: choose less.`, true);
    else if (selection) this.look();
  }

  get tooLong() {
    return this.selection !== null && this.selection.end - this.selection.start > this.limits().clipLengthInMs;
  }

  note(text, bad = false) {
    this.notes.append(el("p", { class: bad ? "reason bad" : "reason" }, text));
  }

  /** What of it is not recorded, and what becomes of the clip then. */
  async lookAtCoverage() {
    const { selection } = this;
    const camera = this.camera();
    if (!selection || !camera || this.tooLong || this.sending) return;
    const told = await api.timeline(camera, selection.start, selection.end).catch(() => null);
    if (!told || this.selection !== selection || this.camera() !== camera) return;
    this.notes.replaceChildren();
    const { start, end } = selection;
    const last = told.lastTimestampInMs;
    const coming = told.growing ? Math.max(told.growing.startTimestampInMs, last ?? 0) : last;
    const gaps = gapsOf(told.spans, start, end).filter(([from, to]) => to - from > this.limits().gapToleranceInMs);
    const missing = gaps.filter(([from]) => last !== null && from < coming && from < last);
    const later = gaps.filter((gap) => !missing.includes(gap));
    if (missing.length) {
      const named = missing.slice(0, LONGEST_SHOWN).map(([from, to]) => `${clock(from)} to ${clock(to)}`).join(", ");
      const total = duration(missing.reduce((sum, [from, to]) => sum + to - from, 0));
      const waits = Date.now() - end <= this.limits().retryInMs ? `, unless that turns up within ${duration(this.limits().retryInMs)}` : "";
      const what = this.limits().gapPolicy === "fail" ? `The clip will not be made${waits}.` : `The clip will be made without it${waits}.`;
      this.note(`${total} of it were not recorded (${named}${missing.length > LONGEST_SHOWN ? ", ..." : ""}). ${what}`);
    }
    if (later.length) {
      const ready = told.growing?.readyTimestampInMs;
      if (told.growing && ready) this.note(`It is being recorded right now. The clip will be ready at about ${clock(ready, 0)}, ${until(ready)}.`);
      else if (last === null) this.note("Nothing has been recorded by this camera yet.");
      else if (Date.now() - end > this.limits().retryInMs) this.note(`Nothing was recorded after ${full(last, 0)}. The clip will not be made.`);
      else this.note(`After ${full(last, 0)} nothing has been recorded yet. The clip will be made if that turns up within ${duration(this.limits().retryInMs)}.`);
    }
  }

  async send() {
    if (!this.typed() || !this.selection) {
      if (!this.selection && !this.start.input.value) this.complain(this.start, "Choose what to cut: drag on the timeline, or type two times.");
      (this.start.error.textContent || !this.start.input.value ? this.start : this.end).input.focus();
      return;
    }
    if (this.button.disabled) return;
    this.sending = this.button.disabled = true;
    try {
      this.onRequested(await api.requestClip(this.camera(), this.selection.start, this.selection.end));
    } catch (error) {
      this.notes.replaceChildren();
      this.note(error.message, true);
    } finally {
      this.sending = this.button.disabled = false;
    }
  }

  async copyEquivalent(kind, what) {
    try {
      const told = await api.equivalents(this.camera(), this.selection.start, this.selection.end);
      if (told[kind]) await copy(told[kind], what);
      else toast("There is no command for it: nothing is recorded there, or not on this machine.", true);
    } catch (error) {
      toast(error.message, true);
    }
  }
}

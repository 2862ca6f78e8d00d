/** The picture at the cursor. One request at a time: the next is always for where the cursor is then. */
import * as api from "./api.js";
import { el } from "./dom.js";
import { clock, full, other, until } from "./time.js";

const REST_MS = 350;
const SCRUB_WIDTH = 640;
const MOST_WIDTH = 1920;

export class Viewer {
  constructor(stage, spans) {
    this.stage = stage;
    this.spans = spans;
    this.image = el("img", { alt: "", hidden: true });
    this.note = el("div", { class: "note" });
    this.readout = el("div", { class: "readout", hidden: true });
    this.cameraId = null;
    this.wanted = null;
    this.busy = false;
    this.turn = 0; // pictures that were asked for in an earlier one are not shown
    this.shown = null;
    this.url = null;
    this.rest = 0;
    this.open();
  }

  /** Take the stage. */
  open() {
    this.stage.replaceChildren(this.image, this.note, this.readout);
  }

  setCamera(cameraId, title) {
    this.cameraId = cameraId;
    this.turn += 1;
    this.title = title;
    this.wanted = this.shown = null;
    this.image.hidden = this.readout.hidden = true;
    this.say(null);
  }

  /** Text in the place of the picture. */
  say(title, ...lines) {
    this.note.replaceChildren(...(title ? [el("strong", {}, title), ...lines.map((line) => (line instanceof Node ? line : el("span", {}, line)))] : []));
    if (title) this.image.hidden = this.readout.hidden = true;
  }

  show(ms) {
    clearTimeout(this.rest);
    if (!this.cameraId) return;
    if (!this.spans.at(ms)) {
      this.wanted = null;
      this.turn += 1;
      if (this.spans.knows(ms)) this.sayNothing(ms);
      return;
    }
    this.want({ ms, exact: false });
    this.rest = setTimeout(() => this.want({ ms, exact: true }), REST_MS);
  }

  sayNothing(ms) {
    const { growing } = this.spans;
    if (growing && ms >= growing.startTimestampInMs && ms <= Date.now()) {
      const ready = growing.readyTimestampInMs;
      this.say("Being recorded right now", ready ? `It can be seen ${until(ready)}, at about ${clock(ready, 0)}.` : "It can be seen once its recording is complete.");
    } else if (this.spans.lastMs === null) {
      this.say("No recordings yet", `What is recorded for ${this.title} appears here as soon as it is complete.`);
    } else if (ms > Date.now()) this.say("That is in the future");
    else this.say("Nothing was recorded here", full(ms));
  }

  want(wanted) {
    this.wanted = wanted;
    if (!this.busy) this.fetch();
  }

  async fetch() {
    const wanted = this.wanted;
    this.wanted = null;
    this.busy = true;
    const { turn, cameraId } = this;
    try {
      const width = wanted.exact ? Math.min(MOST_WIDTH, Math.round(this.stage.clientWidth * (devicePixelRatio || 1))) : SCRUB_WIDTH;
      const picture = await api.frame(cameraId, wanted.ms, width, wanted.exact);
      if (turn === this.turn) await this.put(picture, wanted, turn);
    } catch (error) {
      if (turn === this.turn && error.status !== 429 && error.status !== 503 && !this.wanted) this.say("There is no picture to show", error.message);
    } finally {
      this.busy = false;
      if (this.wanted) this.fetch();
    }
  }

  async put(picture, wanted, turn) {
    const before = this.url;
    this.url = URL.createObjectURL(picture.blob);
    this.image.src = this.url;
    await this.image.decode().catch(() => {});
    if (before) URL.revokeObjectURL(before);
    if (turn !== this.turn) return;
    this.say(null);
    this.shown = picture.shownMs;
    this.image.alt = `${this.title} at ${full(picture.shownMs)}`;
    this.image.hidden = this.readout.hidden = false;
    this.readout.replaceChildren(
      el("b", {}, full(picture.shownMs)), el("span", {}, other(picture.shownMs)),
      el("span", { class: wanted.exact ? "exact" : "kind" }, wanted.exact ? "exact frame" : "nearest keyframe"),
    );
  }
}

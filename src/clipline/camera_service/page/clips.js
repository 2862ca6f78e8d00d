/** The list of clips, with filter and search; it follows what changes. */
import * as api from "./api.js";
import { byId, debounced, el, icon, toast } from "./dom.js";
import { isPending, isReady, progressOf, stateMark, waitingFor } from "./states.js";
import { clock, day, duration, onZone } from "./time.js";

const PAGE = 40;

export class ClipList {
  /** @param {function(Object[])} onChange told the clips that are listed */
  constructor({ onChange }) {
    this.onChange = onChange;
    this.list = byId("clips");
    this.clips = new Map();
    this.since = new Map(); // what was told of clips since the list was asked for, null: gone
    this.next = null;
    this.current = null;
    this.asked = 0;
    this.filters = { q: "", status: "", cameraId: "" };
    const bind = (id, key, event, call) => byId(id).addEventListener(event, () => {
      this.filters[key] = byId(id).value.trim();
      call();
    });
    bind("search", "q", "input", debounced(() => this.reload(), 250));
    bind("only-status", "status", "change", () => this.reload());
    bind("only-camera", "cameraId", "change", () => this.reload());
    byId("more-clips").addEventListener("click", () => this.load(this.next));
    onZone(() => this.render());
  }

  setCameras(cameras) {
    const select = byId("only-camera");
    const before = select.value;
    select.replaceChildren(el("option", { value: "" }, "All cameras"), ...cameras.map((camera) => el("option", { value: camera._id }, camera.title)));
    select.value = cameras.some((camera) => camera._id === before) ? before : "";
    this.filters.cameraId = select.value;
  }

  reload() {
    return this.load(null);
  }

  async load(before) {
    const asked = ++this.asked;
    this.since.clear();
    try {
      const told = await api.clips({ ...this.filters, limit: PAGE, before });
      if (asked !== this.asked) return;
      if (!before) this.clips.clear();
      for (const clip of told.clips) this.clips.set(clip.clipId, clip);
      for (const [clipId, clip] of this.since) {
        if (clip === null) this.clips.delete(clipId);
        else if (this.clips.has(clipId) || this.matches(clip)) this.clips.set(clipId, clip);
      }
      this.next = told.next;
      this.render();
    } catch (error) {
      toast(error.message, true);
    }
  }

  /** One clip changed, or is new. */
  put(clip) {
    this.since.set(clip.clipId, clip);
    if (this.clips.has(clip.clipId) || this.matches(clip)) this.clips.set(clip.clipId, clip);
    this.render();
  }

  remove(clipId) {
    this.since.set(clipId, null);
    this.clips.delete(clipId);
    this.render();
  }

  matches(clip) {
    const { q, status, cameraId } = this.filters;
    const text = [clip.clipId, clip.cameraTitle, clip.cameraId, clip.reason].join("\n").toLowerCase();
    return (!cameraId || clip.cameraId === cameraId) && (!status || status.split(",").includes(clip.status)) && text.includes(q.toLowerCase());
  }

  setCurrent(clipId) {
    this.current = clipId;
    this.render();
  }

  render() {
    const clips = [...this.clips.values()].sort((a, b) => b.requestedTimestampInMs - a.requestedTimestampInMs);
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.clip : null;
    this.list.replaceChildren(...clips.map((clip) => el("li", {}, this.row(clip))));
    if (focused) this.list.querySelector(`[data-clip="${CSS.escape(focused)}"]`)?.focus();
    byId("more-clips").hidden = !this.next;
    byId("clips-count").textContent = clips.length ? `${clips.length}${this.next ? "+" : ""}` : "";
    this.renderEmpty(clips.length === 0);
    this.onChange(clips);
  }

  renderEmpty(empty) {
    const filtered = Object.values(this.filters).some(Boolean);
    byId("clips-empty").hidden = !empty;
    byId("clips-empty").replaceChildren(...(filtered
      ? [el("strong", {}, "No clip is like that"), el("span", {}, "Change the search or the filters.")]
      : [el("strong", {}, "No clips yet"), el("span", {}, "Drag on the timeline to choose what to cut, then request the clip.")]));
  }

  row(clip) {
    const start = clip.startTimestampInMs;
    const sizes = clip.thumbnail?.sizes ?? [];
    const shot = isReady(clip) && sizes.length
      ? el("img", { class: "shot", src: api.thumbnailUrl(clip, Math.min(...sizes)), alt: "", loading: "lazy" })
      : el("span", { class: "shot" }, icon(isPending(clip) ? "clock" : "alert"));
    return el("a", { href: `#clip=${encodeURIComponent(clip.clipId)}`, data: { clip: clip.clipId }, "aria-current": clip.clipId === this.current ? "true" : null },
      shot,
      el("span", { class: "what" },
        el("span", { class: "name" }, clip.cameraTitle ?? "Unknown camera"),
        el("span", {}, typeof start === "number" ? `${day(start)} ${clock(start, 0)}` : clip.clipId),
        el("span", {}, stateMark(clip), typeof start === "number" ? el("span", { class: "dim" }, ` · ${duration(Math.round((clip.endTimestampInMs - start) / 100) * 100)}`) : null),
        isPending(clip) ? el("span", { class: "dim", title: waitingFor(clip) }, waitingFor(clip)) : null,
        isPending(clip) ? bar(progressOf(clip)) : null));
  }
}

function bar(share) {
  const inner = el("i");
  inner.style.width = `${Math.round(share * 100)}%`;
  return el("span", { class: "bar", role: "progressbar", "aria-label": "Progress", "aria-valuenow": Math.round(share * 100), "aria-valuemin": 0, "aria-valuemax": 100 }, inner);
}

/** One clip: how far it is, the player, and all that is known of it. */
import * as api from "./api.js";
import { copy, dialog, el, icon, toast } from "./dom.js";
import { Player } from "./player.js";
import { NEXT, isPending, isReady, stateMark, stateOf, steps, waitingFor } from "./states.js";
import { clock, duration, full, other } from "./time.js";

export class ClipView {
  /**
   * @param {function()} onClose called to give the stage back
   * @param {function(number)} onShown told the instant of the picture that is shown
   */
  constructor(stage, bar, details, { onClose, onGone, onShown }) {
    Object.assign(this, { stage, bar, details, onGone, onShown });
    this.back = el("button", { id: "back", type: "button", on: { click: onClose } }, icon("left"), "Recordings");
    this.clip = null;
    this.player = null;
  }

  get clipId() {
    return this.clip?.clipId ?? null;
  }

  show(clip) {
    const same = this.clip?.clipId === clip.clipId && this.clip.status === clip.status && this.clip.updatedTimestampInMs === clip.updatedTimestampInMs;
    this.clip = clip;
    if (!isReady(clip)) {
      this.stopPlayer();
      this.showWaiting();
    } else if (!this.player || !same) {
      this.stopPlayer();
      this.player = new Player(this.stage, clip, this.onShown);
      this.bar.replaceChildren(this.player.position, this.back, this.player.controls, this.player.where);
    }
    this.bar.hidden = false;
    this.showDetails();
  }

  close() {
    this.stopPlayer();
    this.clip = null;
    this.bar.hidden = true;
    this.details.replaceChildren();
  }

  stopPlayer() {
    this.player?.close();
    this.player = null;
  }

  showWaiting() {
    const { clip } = this;
    const { words } = stateOf(clip);
    this.stage.replaceChildren(el("div", { class: "note" }, el("strong", {}, words), el("span", {}, isPending(clip) ? waitingFor(clip) : (clip.reason ?? ""))));
    this.bar.replaceChildren(this.back);
  }

  /** All of it, or while a clip waits the words alone: its buttons stay where they are. */
  showDetails(again = false) {
    const { clip } = this;
    const kind = `${clip.clipId} ${clip.status} ${clip.cancelled} ${clip.updatedTimestampInMs * !isPending(clip)}`;
    const there = this.details.querySelector(".message");
    if (!again && there && this.kind === kind) {
      there.replaceChildren(...this.message());
      return;
    }
    this.kind = kind;
    const focused = this.details.contains(document.activeElement) ? document.activeElement.id : "";
    const length = clip.endTimestampInMs - clip.startTimestampInMs;
    this.details.replaceChildren(el("article", { class: "card clip-card", id: "clip", "aria-label": "Clip", data: { clip: clip.clipId, status: clip.status } },
      el("header", {}, el("h2", {}, clip.cameraTitle ?? "Unknown camera"), stateMark(clip),
        el("span", { class: "dim" }, `${full(clip.startTimestampInMs)} to ${clock(clip.endTimestampInMs)}, ${duration(length)} (${other(clip.startTimestampInMs)})`)),
      el("div", { class: "message" }, ...this.message()),
      el("div", { class: "pad actions" }, ...this.buttons()),
      isReady(clip) ? this.thumbnails() : null,
      el("dl", { class: "facts pad" }, ...this.facts()),
      this.coverage()));
    if (focused) document.getElementById(focused)?.focus();
  }

  message() {
    const { clip } = this;
    if (isPending(clip)) {
      const tries = clip.retryTimestamps?.length;
      const again = tries ? ` Tried ${tries} ${tries === 1 ? "time" : "times"} before.` : "";
      return [el("div", { class: "pad" }, steps(clip)), el("p", { class: "pad dim", id: "waiting-for" }, `${waitingFor(clip)}.${again}`)];
    }
    if (isReady(clip)) return clip.partial ? [el("p", { class: "pad" }, el("span", { class: "reason" }, "Not all of it was recorded: see what it shows below."))] : [];
    return [el("div", { class: "pad" }, el("p", { class: "reason bad" }, `${clip.reason ?? "No reason was given."}${clip.cancelled ? "" : ` ${NEXT[clip.status] ?? ""}`}`))];
  }

  buttons() {
    const { clip } = this;
    const button = (id, picture, text, click, kind = "") => el("button", { id, type: "button", class: kind, on: { click: () => this.run(click) } }, icon(picture), text);
    const equivalent = (kind, what) => async () => {
      const told = await api.equivalents(clip.cameraId, clip.startTimestampInMs, clip.endTimestampInMs, clip.clipId);
      if (told[kind]) await copy(told[kind], what);
      else toast("There is no command for it: nothing is recorded there, or not on this machine.", true);
    };
    return [
      isReady(clip) && el("a", { class: "button", id: "download", href: api.downloadUrl(clip.clipId) }, icon("download"), "Download"),
      isReady(clip) && button("share", "share", "Share", () => this.share()),
      isPending(clip) && button("cancel", "close", "Cancel", () => api.cancelClip(clip.clipId)),
      !isPending(clip) && !isReady(clip) && button("retry", "again", "Try again", () => api.retryClip(clip.clipId)),
      button("clip-message", "copy", "SQS message", equivalent("message", "SQS message")),
      button("clip-command", "copy", "Command", equivalent("command", "Command")),
      button("delete", "bin", "Delete", () => this.confirmDelete(), "danger"),
    ].filter(Boolean);
  }

  async run(action) {
    try {
      const clip = await action();
      if (clip?.clipId === this.clipId && clip.status) this.show(clip);
    } catch (error) {
      toast(error.message, true);
    }
  }

  share() {
    const hours = el("select", { id: "share-hours" }, ...[[1, "an hour"], [24, "a day"], [168, "a week"], [720, "30 days"]].map(
      ([value, text]) => el("option", { value: String(value), selected: value === 168 }, text)));
    const result = el("div", { class: "stack" });
    dialog("Share this clip", (close) => el("form", { on: { submit: async (event) => {
      event.preventDefault();
      try {
        const { url, expiresTimestampInMs } = await api.shareClip(this.clipId, Number(hours.value));
        result.replaceChildren(
          el("input", { readOnly: true, value: url, "aria-label": "Link", id: "share-link", on: { focus: (focus) => focus.target.select() } }),
          el("span", { class: "dim" }, `Good until ${full(expiresTimestampInMs, 0)}, or until the clip is deleted.`));
        await copy(url, "Link");
      } catch (error) {
        result.replaceChildren(el("span", { class: "error" }, error.message));
      }
    } } },
    el("p", {}, "Whoever has the link can watch and download this clip, and nothing else."),
    el("label", {}, "Good for", hours), result,
    el("div", { class: "actions end" }, el("button", { type: "button", on: { click: close } }, "Close"), el("button", { class: "primary", type: "submit" }, icon("copy"), "Make the link"))));
  }

  confirmDelete() {
    const { clip } = this;
    dialog("Delete this clip?", (close) => el("div", { class: "stack" },
      el("p", {}, `${clip.cameraTitle}, ${full(clip.startTimestampInMs)}. Its video and thumbnails go, and links to it end; the recordings stay.`),
      el("div", { class: "actions end" },
        el("button", { type: "button", on: { click: close } }, "Keep it"),
        el("button", { type: "button", class: "danger", id: "really-delete", on: { click: async () => {
          close();
          try {
            await api.deleteClip(clip.clipId);
            toast("Deleted");
            this.onGone(clip.clipId);
          } catch (error) {
            toast(error.message, true);
          }
        } } }, icon("bin"), "Delete"))));
  }

  thumbnails() {
    const { clip } = this;
    return el("div", { class: "pad thumbs", id: "thumbnails" }, ...clip.thumbnail.sizes.map((size) => el("a", { href: api.thumbnailUrl(clip, size), target: "_blank", rel: "noopener" },
      el("img", { src: api.thumbnailUrl(clip, size), alt: `Thumbnail, ${size} pixels wide`, loading: "lazy" }), `${size} px`)));
  }

  facts() {
    const { clip } = this;
    const facts = [
      ["Clip", el("code", {}, clip.clipId)],
      ["Asked for", `${full(clip.requestedTimestampInMs, 0)}`],
    ];
    if (isReady(clip)) {
      const made = clip.framesCopied + clip.framesEncoded;
      const share = made ? Math.round((clip.framesCopied / made) * 1000) / 10 : 0;
      facts.push(
        ["First frame", full(clip.firstFrameTimestampInMs)], ["Last frame", full(clip.lastFrameTimestampInMs)],
        ["Frames", `${made}: ${clip.framesCopied} copied (${share} %), ${clip.framesEncoded} encoded`],
        ["Why encoded", clip.why?.length ? clip.why.join("; ") : "nothing was"],
        ["Picture", `${clip.width} × ${clip.height}, ${duration(clip.durationInMs)}`],
        ["Size", `${megabytes(clip.sizeInBytes)}; ${megabytes(clip.bytesRead)} of recordings were read`]);
      if (clip.notes?.length) facts.push(["Notes", clip.notes.join("; ")]);
    }
    return facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  }

  coverage() {
    const parts = this.clip.coverage ?? [];
    if (!parts.length) return null;
    return el("div", { class: "pad" }, el("h3", {}, "What it shows"), el("ul", { class: "covers", id: "coverage" }, ...parts.map((part) => {
      const span = `${clock(part.startTimestampInMs)} to ${clock(part.endTimestampInMs)}  `;
      return part.recording
        ? el("li", {}, span, el("code", {}, part.recording))
        : el("li", { class: "missing" }, `${span}not recorded: ${part.gap}${part.filledWith ? `, filled with ${part.filledWith}` : ""}`);
    })));
  }
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

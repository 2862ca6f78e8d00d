/** A clip that plays, picture by picture if wanted, and says exactly what it shows. */
import * as api from "./api.js";
import { el, icon, toast } from "./dom.js";
import { full, other } from "./time.js";

const RATES = [0.1, 0.25, 0.5, 1, 2, 4];

export class Player {
  /** @param {function(number)} onShown told the instant of the picture that is shown */
  constructor(stage, clip, onShown) {
    this.clip = clip;
    this.onShown = onShown;
    this.closed = false;
    this.frames = null;
    this.number = 0;
    this.video = el("video", {
      src: api.videoUrl(clip), preload: "auto", playsInline: true, "aria-label": `Clip of ${clip.cameraTitle}`,
      on: { click: () => this.video.controls || this.toggle() }, // the browser's own do that themselves
    });
    stage.replaceChildren(this.video);
    const button = (id, picture, name, key, click) => el("button", { id, class: "icon", type: "button", "aria-label": name, title: key ? `${name} (${key})` : name, on: { click } }, icon(picture));
    this.position = el("input", { id: "position", class: "position", type: "range", min: "0", max: "0", step: "1", value: "0", disabled: true, "aria-label": "Position in the clip", on: { input: () => this.seek(Number(this.position.value)) } });
    this.play = button("play", "play", "Play", "space", () => this.toggle());
    this.sound = button("sound", "sound", "Mute", "M", () => { this.video.muted = !this.video.muted; });
    this.speed = el("select", { "aria-label": "Speed", on: { change: () => { this.video.playbackRate = Number(this.speed.value); } } },
      ...RATES.map((rate) => el("option", { value: String(rate), selected: rate === 1 }, `${rate}×`)));
    this.where = el("output", { class: "where mono", id: "frame-position" });
    this.controls = el("div", { class: "keys-of", role: "group", "aria-label": "Player" },
      button("frame-back", "back", "One frame back", ",", () => this.step(-1)), this.play,
      button("frame-ahead", "ahead", "One frame ahead", ".", () => this.step(1)),
      this.speed, this.sound, button("fullscreen", "full", "Full screen", "F", () => this.fill()));
    this.video.addEventListener("fullscreenchange", () => { this.video.controls = document.fullscreenElement === this.video; });
    this.video.addEventListener("volumechange", () => this.showSound());
    for (const event of ["play", "pause", "ended"]) this.video.addEventListener(event, () => this.showPlay());
    for (const event of ["seeked", "loadeddata", "pause"]) this.video.addEventListener(event, () => this.moved(this.video.currentTime));
    this.video.addEventListener("error", () => toast(`The clip can't be played here: ${this.video.error?.message || "the browser does not say why"}`, true));
    this.showPlay();
    this.watch();
    this.load();
  }

  async load() {
    try {
      this.frames = await api.clipFrames(this.clip.clipId);
      this.position.max = String(this.frames.pts.length - 1);
      this.position.disabled = false;
      this.moved(this.video.currentTime);
    } catch (error) {
      toast(error.message, true);
    }
  }

  watch() {
    if (!this.video.requestVideoFrameCallback) {
      this.video.addEventListener("timeupdate", () => this.moved(this.video.currentTime));
      return;
    }
    const told = (_, { mediaTime }) => {
      this.moved(mediaTime);
      if (!this.closed) this.video.requestVideoFrameCallback(told);
    };
    this.video.requestVideoFrameCallback(told);
  }

  showPlay() {
    const playing = !this.video.paused && !this.video.ended;
    this.play.replaceChildren(icon(playing ? "pause" : "play"));
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.play.title = playing ? "Pause (space)" : "Play (space)";
  }

  showSound() {
    const { muted } = this.video;
    this.sound.replaceChildren(icon(muted ? "muted" : "sound"));
    this.sound.setAttribute("aria-label", muted ? "Sound on" : "Mute");
    this.sound.title = muted ? "Sound on (M)" : "Mute (M)";
  }

  fill() {
    if (this.video.requestFullscreen) this.video.requestFullscreen().catch((error) => toast(error.message, true));
    else this.video.webkitEnterFullscreen?.(); // on an iPhone
  }

  toggle() {
    if (this.video.paused) this.video.play().catch((error) => toast(error.message, true));
    else this.video.pause();
  }

  step(by) {
    if (!this.frames) return;
    this.video.pause();
    this.seek(this.number + by);
  }

  /** To the middle of a picture: its edges are rounded differently by browsers. */
  seek(number) {
    const { pts, endPts, timescale } = this.frames;
    this.number = Math.max(0, Math.min(pts.length - 1, number));
    const next = pts[this.number + 1] ?? endPts;
    this.video.currentTime = (pts[this.number] + next) / 2 / timescale;
  }

  jump(seconds) {
    this.video.currentTime = Math.max(0, this.video.currentTime + seconds);
  }

  moved(seconds) {
    if (!this.frames || this.closed) return;
    const { pts, timescale } = this.frames;
    const at = Math.round(seconds * timescale);
    let low = 0;
    let high = pts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pts[middle] <= at) low = middle + 1;
      else high = middle;
    }
    this.number = Math.max(0, low - 1);
    const wall = this.wallTime((pts[this.number] / timescale) * 1000);
    const frame = `frame ${this.number + 1} of ${pts.length}`;
    this.where.replaceChildren(frame, el("br"), full(wall), el("small", { class: "dim" }, `  ${other(wall)}`));
    this.position.value = String(this.number);
    this.position.setAttribute("aria-valuetext", `${frame}, ${full(wall)}`);
    this.position.style.setProperty("--played", `${(this.number / Math.max(1, pts.length - 1)) * 100}%`);
    this.onShown(Math.floor(wall));
  }

  /** Where recordings leave gaps that were skipped, the clip's time and that of the wall part. */
  wallTime(offsetMs) {
    const { coverage, firstFrameTimestampInMs } = this.clip;
    const shown = (coverage ?? []).filter((part) => part.clipOffsetInMs !== undefined && part.clipOffsetInMs <= offsetMs + 1);
    const part = shown.at(-1);
    if (!part || shown.length === 1) return firstFrameTimestampInMs + offsetMs;
    return part.startTimestampInMs + offsetMs - part.clipOffsetInMs;
  }

  key(event) {
    const actions = {
      " ": () => this.toggle(), k: () => this.toggle(), ",": () => this.step(-1), ".": () => this.step(1),
      j: () => this.jump(-5), l: () => this.jump(5), m: () => this.sound.click(), f: () => this.fill(),
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return false;
    action();
    return true;
  }

  close() {
    this.closed = true;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }
}

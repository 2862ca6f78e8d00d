/** Cameras: choosing, adding and naming them; and what was found of their recordings. */
import * as api from "./api.js";
import { byId, dialog, el, toast } from "./dom.js";

const KEY = "clipline.camera";

export class Cameras {
  /** @param {function(?Object)} onChoose told the camera, or null where there is none */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.list = [];
    this.loaded = false;
    this.current = null;
    this.select = byId("camera");
    this.select.addEventListener("change", () => this.choose(this.select.value));
    byId("rename-camera").addEventListener("click", () => this.rename());
    byId("add-camera").addEventListener("click", () => this.add());
  }

  get camera() {
    return this.list.find((camera) => camera._id === this.current) ?? null;
  }

  /** @param {?string} preferred the camera to choose, if it is there */
  async load(preferred = null) {
    this.list = await api.cameras();
    this.loaded = true;
    this.select.replaceChildren(...this.list.map((camera) => el("option", { value: camera._id }, camera.title)));
    this.select.disabled = byId("rename-camera").disabled = this.list.length === 0;
    const there = (id) => this.list.some((camera) => camera._id === id);
    const recorded = this.list.filter((camera) => camera.lastTimestampInMs !== null);
    const newest = recorded.sort((a, b) => b.lastTimestampInMs - a.lastTimestampInMs)[0] ?? this.list[0];
    const next = [preferred, this.current, localStorage.getItem(KEY), newest?._id].find(there) ?? null;
    if (next !== this.current) this.choose(next);
    else this.select.value = next ?? "";
  }

  choose(id) {
    this.current = id;
    this.select.value = id ?? "";
    if (id) localStorage.setItem(KEY, id);
    this.onChoose(this.camera);
  }

  rename() {
    const { camera } = this;
    const title = el("input", { value: camera.title, maxLength: 200, required: true, id: "camera-title" });
    this.ask("Rename this camera", [el("label", {}, "Name", title), el("p", { class: "dim" }, `Its files are called ${camera.alias}; that stays.`)], "Rename",
      () => api.renameCamera(camera._id, title.value.trim()));
    title.select();
  }

  add() {
    const alias = el("input", { required: true, id: "camera-alias", pattern: "[A-Za-z0-9_\\-]([A-Za-z0-9_.\\-]*[A-Za-z0-9_\\-])?", maxLength: 100 });
    const title = el("input", { maxLength: 200, id: "camera-title" });
    this.ask("Add a camera", [
      el("p", {}, "Cameras that have recordings are added by themselves. Add one here before it has any."),
      el("label", {}, "Name of its folder, or first part of its files' names", alias),
      el("label", {}, "Name for people (the same, if empty)", title),
    ], "Add", () => api.addCamera(alias.value.trim(), title.value.trim()));
  }

  ask(title, fields, verb, action) {
    const error = el("p", { class: "error", role: "alert" });
    dialog(title, (close) => el("form", { on: { submit: async (event) => {
      event.preventDefault();
      try {
        const camera = await action();
        close();
        await this.load(camera._id);
      } catch (problem) {
        error.textContent = problem.message;
      }
    } } }, ...fields, error, el("div", { class: "actions end" },
      el("button", { type: "button", on: { click: close } }, "Close"), el("button", { class: "primary", type: "submit" }, verb))));
  }
}

/** What was found and what was skipped, below everything; what is wrong, above. */
export function showStatus(status) {
  const { recordings, disk, version, worker, queue } = status;
  const box = byId("found");
  box.querySelector("summary").textContent = recordings.scanning ? `Looking for recordings ... ${recordings.summary}` : recordings.summary;
  box.querySelector("div").replaceChildren(
    el("p", { class: "dim" }, `In ${recordings.root}. Times in names: ${status.timezone}, unless they say otherwise.`),
    recordings.skipped.length ? el("ul", {}, ...recordings.skipped.map((one) => el("li", {}, el("code", {}, one.path), `: ${one.reason}${one.detail ? ` (${one.detail})` : ""}`))) : "",
    recordings.skippedCount > recordings.skipped.length ? el("p", { class: "dim" }, `and ${recordings.skippedCount - recordings.skipped.length} more`) : "");
  const waiting = queue.waiting + queue.delayed;
  byId("about").replaceChildren(`Clipline ${version}: ${worker.inProgress} of ${worker.concurrency} in the making, ${waiting} waiting. `, el("a", { href: "/openapi.json" }, "API"));
  const banners = [];
  if (recordings.problem) banners.push(el("p", { class: "banner bad" }, `Recordings can't be looked through: ${recordings.problem}`));
  if (!disk.fine) banners.push(el("p", { class: "banner bad" }, `The disk is nearly full (${Math.round(disk.freeInBytes / 1e6)} MB free): no clip is made until there is room.`));
  if (queue.dead) banners.push(el("p", { class: "banner" }, `${queue.dead} ${queue.dead === 1 ? "message" : "messages"} could not be handled: see clipline redrive.`));
  const box2 = byId("banners");
  if (box2.textContent !== banners.map((one) => one.textContent).join("")) box2.replaceChildren(...banners);
}

export function failed(error) {
  toast(error.message, true);
}

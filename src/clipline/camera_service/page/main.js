/** The page: puts its parts together and keeps the address in step. */
import * as api from "./api.js";
import { Cameras, failed, showStatus } from "./cameras.js";
import { ClipView } from "./clip.js";
import { ClipList } from "./clips.js";
import { announce, byId, debounced, el, icon } from "./dom.js";
import { showHelp } from "./help.js";
import { IntervalForm } from "./interval.js";
import { listen } from "./live.js";
import { Spans } from "./spans.js";
import { isReady, stateOf } from "./states.js";
import { initTheme } from "./theme.js";
import { currentZone, day, dayOf, full, instantOf, onZone, other, setZone } from "./time.js";
import { Timeline } from "./timeline.js";
import { Viewer } from "./viewer.js";

const SHORT_MS = 6 * 3_600_000;
const stage = byId("stage");
let status = null;
let wanted = null; // the clip that is open, or will be when its answer is there

const spans = new Spans(() => {
  timeline.redraw();
  timeline.describe();
  if (!clipView.clip) viewer.show(timeline.cursor);
});
const viewer = new Viewer(stage, spans);
const timeline = new Timeline(byId("timeline"), spans, {
  onCursor(ms, meant) {
    byId("cursor-time").replaceChildren(full(ms), el("small", {}, other(ms)));
    if (meant && clipView.clip) leaveClip();
    if (!clipView.clip) viewer.show(ms);
    if (meant) remember();
  },
  onSelect: (selection) => form.set(selection),
  onView(from, to) {
    spans.want(from, to).catch(failed);
    byId("date").value = day((from + to) / 2);
  },
  onEnter: () => form.send(),
});
const form = new IntervalForm(byId("interval"), {
  cursor: () => timeline.cursor,
  camera: () => cameras.current,
  limits: () => status?.limits ?? { clipLengthInMs: 300_000, retryInMs: 900_000, gapPolicy: "fail", gapToleranceInMs: 1000 },
  onChange(selection) {
    timeline.select(selection);
    if (selection && (selection.start < timeline.from || selection.end > timeline.to)) {
      const margin = (selection.end - selection.start) * 0.5;
      timeline.setView(selection.start - margin, selection.end + margin);
    }
  },
  onRequested(clip) {
    clips.put(clip);
    wanted = clip.clipId;
    location.hash = `clip=${encodeURIComponent(clip.clipId)}`;
    announce("The clip was requested.");
  },
  onEdge: (edge) => timeline.setEdge(edge),
});
const clipView = new ClipView(stage, byId("player"), byId("clip-details"), {
  onClose: leaveClip,
  onShown(ms) {
    if (!timeline.hovering) timeline.setCursor(ms, false);
  },
  onGone(clipId) {
    clips.remove(clipId);
    if (clipId === wanted) leaveClip();
  },
});
const clips = new ClipList({
  onChange(list) {
    timeline.marks = list.filter((clip) => clip.cameraId === cameras.current).map((clip) => ({
      start: clip.startTimestampInMs, end: clip.endTimestampInMs, ready: isReady(clip), current: clip.clipId === clipView.clipId,
    }));
    timeline.redraw();
  },
});
const cameras = new Cameras((camera) => {
  if (clipView.clip && clipView.clip.cameraId !== camera?._id) leaveClip();
  spans.clear(camera?._id ?? null);
  viewer.setCamera(camera?._id ?? null, camera?.title ?? "");
  form.set(null, true);
  if (camera) showCamera(camera);
  else showNoCamera();
});

function showCamera(camera) {
  const last = camera.lastTimestampInMs;
  if (last === null) {
    timeline.setView(...dayOf(Date.now()));
    return;
  }
  showAll(camera, true);
  timeline.setCursor(Math.max(camera.firstTimestampInMs, last - 1000), false);
}

/** All of a short archive, of a long one the last day. */
function showAll(camera, lastDay) {
  const { firstTimestampInMs: first, lastTimestampInMs: last } = camera;
  if (lastDay && last - first > SHORT_MS) timeline.setView(...dayOf(last - 1));
  else {
    const margin = Math.max(2000, (last - first) * 0.04);
    timeline.setView(first - margin, last + margin);
  }
}

function showNoCamera() {
  const root = status?.recordings.root ?? "the folder of recordings";
  viewer.say("No cameras yet", `Recordings belong into ${root}, one folder for each camera, named like pier/pier.20261125T140000000.mp4; the names of common recorders are known as well.`,
    "This page fills by itself as they appear.");
  timeline.setView(...dayOf(Date.now()));
}

function leaveClip() {
  wanted = null;
  if (!clipView.clip) return;
  clipView.close();
  viewer.open();
  clips.setCurrent(null);
  viewer.show(timeline.cursor);
  writeAddress(true);
}

/** Reloading comes back here. */
function writeAddress(push = false) {
  if (wanted || !cameras.current) return;
  const hash = `#camera=${encodeURIComponent(cameras.current)}&at=${timeline.cursor}`;
  history[push ? "pushState" : "replaceState"](null, "", hash);
}
const remember = debounced(writeAddress, 200);

async function openClip(clipId) {
  wanted = clipId;
  try {
    const clip = await api.clip(clipId);
    if (wanted !== clipId) return;
    if (clip.cameraId !== cameras.current && cameras.list.some((camera) => camera._id === clip.cameraId)) cameras.choose(clip.cameraId);
    const another = clipView.clipId !== clipId;
    clipView.show(clip);
    clips.setCurrent(clipId);
    if (another) stage.scrollIntoView({ block: "nearest" });
    const margin = Math.max(1000, (clip.endTimestampInMs - clip.startTimestampInMs) * 0.6);
    if (clip.startTimestampInMs < timeline.from || clip.endTimestampInMs > timeline.to) timeline.setView(clip.startTimestampInMs - margin, clip.endTimestampInMs + margin);
    timeline.redraw();
  } catch (error) {
    failed(error);
    if (wanted === clipId) leaveClip();
  }
}

function follow() {
  const values = new URLSearchParams(location.hash.slice(1));
  if (values.has("clip")) openClip(values.get("clip"));
  else if (values.has("camera")) {
    leaveClip();
    if (values.get("camera") !== cameras.current && cameras.list.some((camera) => camera._id === values.get("camera"))) cameras.choose(values.get("camera"));
    const at = Number(values.get("at"));
    if (at > 0) {
      timeline.reveal(at);
      timeline.setCursor(at, false);
    }
  } else leaveClip();
}

function onClip(clip) {
  const before = clips.clips.get(clip.clipId);
  if (before && before.updatedTimestampInMs > clip.updatedTimestampInMs) return; // overtaken on its way
  clips.put(clip);
  if (clip.clipId === clipView.clipId) clipView.show(clip);
  if (before && before.status !== clip.status) announce(`${clip.cameraTitle}: ${stateOf(clip).words}`);
}

function onStatus(next) {
  status = next;
  showStatus(next);
  if (cameras.loaded && !cameras.camera) showNoCamera();
}

const loadCameras = debounced(async () => {
  const hadNone = cameras.loaded && (!cameras.camera || cameras.camera.lastTimestampInMs === null);
  await cameras.load().catch(failed);
  clips.setCameras(cameras.list);
  if (hadNone && cameras.camera?.lastTimestampInMs) showCamera(cameras.camera);
}, 150);

const handlers = {
  clip: onClip,
  gone({ clipId }) {
    clips.remove(clipId);
    if (clipId === wanted) leaveClip();
  },
  recordings({ cameraId }) {
    if (cameraId !== cameras.current) return;
    spans.want(timeline.from, timeline.to, { again: true }).catch(failed);
    form.look();
  },
  elsewhere: refresh,
  cameras: loadCameras,
  status: onStatus,
};

function onConnection(there, again) {
  byId("connection").textContent = there ? "" : "Connection lost, trying again ...";
  if (there && again) refresh();
}

/** Everything may have changed. */
function refresh() {
  api.status().then(onStatus).catch(failed);
  loadCameras();
  clips.reload();
  spans.want(timeline.from, timeline.to, { again: true }).catch(failed);
  if (wanted) openClip(wanted);
}

function bindControls() {
  const pictures = { "rename-camera": "pencil", "add-camera": "plus", help: "help", "day-before": "left", "day-after": "right", "zoom-in": "plus", "zoom-out": "minus" };
  for (const [id, name] of Object.entries(pictures)) byId(id).append(icon(name));
  const on = (id, handler) => byId(id).addEventListener("click", handler);
  const showDay = (ms) => {
    timeline.setView(...dayOf(ms));
    timeline.setCursor((timeline.from + timeline.to) / 2, true);
  };
  on("day-before", () => showDay(dayOf((timeline.from + timeline.to) / 2)[0] - 1));
  on("day-after", () => showDay(dayOf((timeline.from + timeline.to) / 2)[1]));
  on("latest", () => {
    if (cameras.camera?.lastTimestampInMs) showCamera({ ...cameras.camera, lastTimestampInMs: spans.lastMs ?? cameras.camera.lastTimestampInMs });
  });
  on("fit", fit);
  on("zoom-in", () => timeline.zoom(0.5));
  on("zoom-out", () => timeline.zoom(2));
  on("help", showHelp);
  for (const zone of ["local", "utc"]) on(`zone-${zone}`, () => setZone(zone));
  byId("date").addEventListener("change", () => {
    const [year, month, date] = byId("date").value.split("-").map(Number);
    if (year > 1970) showDay(instantOf(year, month, date));
  });
  addEventListener("hashchange", follow);
  addEventListener("keydown", onKey);
  initTheme(byId("theme"), () => timeline.redraw());
}

function fit() {
  if (cameras.camera?.lastTimestampInMs) showAll({ firstTimestampInMs: cameras.camera.firstTimestampInMs, lastTimestampInMs: spans.lastMs ?? cameras.camera.lastTimestampInMs }, false);
}

function onKey(event) {
  const target = event.target;
  const typing = target.closest?.("input:not([type=range]), textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (clipView.player && !target.closest("button, a, summary") && clipView.player.key(event)) event.preventDefault();
  else if (event.key === "?") showHelp();
  else if (event.key === "/") {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "0") fit();
  else if (event.key === "Escape") leaveClip();
}

function showZone() {
  for (const zone of ["local", "utc"]) byId(`zone-${zone}`).setAttribute("aria-pressed", String(currentZone() === zone));
  byId("zone-local").title = Intl.DateTimeFormat().resolvedOptions().timeZone;
  byId("cursor-time").replaceChildren(full(timeline.cursor), el("small", {}, other(timeline.cursor)));
  byId("date").value = day((timeline.from + timeline.to) / 2);
  timeline.redraw();
  timeline.describe();
  if (clipView.clip) clipView.showDetails(true);
}

async function start() {
  bindControls();
  onZone(showZone);
  showZone();
  form.write();
  await listen(handlers, onConnection); // first, so that nothing changes unheard
  try {
    const preferred = new URLSearchParams(location.hash.slice(1)).get("camera");
    await Promise.all([api.status().then(onStatus), cameras.load(preferred), clips.reload()]);
    if (!cameras.camera) showNoCamera();
    clips.setCameras(cameras.list);
  } catch (error) {
    viewer.say("Clipline does not answer as it should", error.message);
  }
  if (location.hash) follow();
  setInterval(() => timeline.redraw(), 10_000);
  document.documentElement.dataset.ready = "true";
}

start();

/** A clip that somebody shared: the video, what it shows, and nothing else. */
import * as api from "./api.js";
import { byId, el, icon } from "./dom.js";
import { initTheme } from "./theme.js";
import { duration, full, other } from "./time.js";

initTheme(null);
const path = location.pathname.replace(/\/$/, "");

function show(clip) {
  const start = clip.startTimestampInMs;
  document.title = `${clip.cameraTitle}, ${full(start, 0)}`;
  const sizes = clip.thumbnailSizes;
  const gaps = (clip.coverage ?? []).filter((part) => !part.recording);
  byId("shared").append(
    el("h1", { class: "brand" }, clip.cameraTitle),
    el("video", { src: `${path}/video`, controls: true, playsInline: true, poster: sizes.length ? `${path}/thumbnail?size=${Math.max(...sizes)}` : "", "aria-label": `Clip of ${clip.cameraTitle}` }),
    el("p", {}, `${full(start)} to ${full(clip.endTimestampInMs)}, ${duration(clip.endTimestampInMs - start)} `, el("span", { class: "dim" }, `(${other(start)})`)),
    ...gaps.map((gap) => el("p", { class: "dim" }, `Not recorded: ${full(gap.startTimestampInMs)} to ${full(gap.endTimestampInMs)}`)),
    el("p", { class: "actions" }, el("a", { class: "button", href: `${path}/video`, download: `${clip.clipId}.mp4` }, icon("download"), "Download"),
      el("span", { class: "dim" }, `The link is good until ${full(clip.expiresTimestampInMs, 0)}.`)));
}

try {
  show(await api.shared(path));
} catch (error) {
  byId("shared").append(el("h1", { class: "brand" }, "There is nothing to see here"), el("p", {}, `${error.message[0].toUpperCase()}${error.message.slice(1)}.`));
}

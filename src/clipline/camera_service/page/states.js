/** What the states and stages of a clip are called, and how far one is. */
import { el, icon } from "./dom.js";
import { clock, until } from "./time.js";

const STATES = {
  CLIP_AVAILABLE: ["Ready", "good", "check"],
  CLIP_PENDING: ["In the making", "waiting", "clock"],
  CLIP_NOT_AVAILABLE: ["Not recorded", "bad", "alert"],
  CLIP_OUT_OF_RANGE: ["Too long ago", "bad", "alert"],
  CLIP_TOO_LONG: ["Too long", "bad", "alert"],
  CLIP_RETRY_TIMEOUT: ["Not recorded in time", "bad", "alert"],
  CLIP_INVALID_REQUEST: ["Not a valid request", "bad", "alert"],
  FATAL_ERROR: ["Failed", "bad", "alert"],
};

export const NEXT = {
  CLIP_NOT_AVAILABLE: "Choose a time that is recorded, or try again once the recording is there.",
  CLIP_OUT_OF_RANGE: "OUT_OF_RANGE_LIMIT says how far back clips can be asked for.",
  CLIP_TOO_LONG: "Choose less, or raise VIDEO_MAX_LEN.",
  CLIP_RETRY_TIMEOUT: "The recording did not turn up in time. Try again once it is there.",
  CLIP_INVALID_REQUEST: "The message that asked for it can never become a clip.",
  FATAL_ERROR: "Try again; if it stays so, the log of clipline says more.",
};

export const STAGES = {
  queued: "Queued", camera: "Camera", recordings: "Recordings", index: "Index", fetch: "Fetch", encode: "Encode",
  write: "Write", verify: "Verify", thumbnails: "Thumbnails", store: "Store", notify: "Tell",
};
const ORDER = Object.keys(STAGES);

export const isReady = (clip) => clip.status === "CLIP_AVAILABLE";
export const isPending = (clip) => clip.status === "CLIP_PENDING";

export function stateOf(clip) {
  const [words, kind, picture] = clip.cancelled ? ["Cancelled", "bad", "close"] : (STATES[clip.status] ?? [clip.status, "bad", "alert"]);
  return { words: isPending(clip) && !clip.progress ? "Waiting" : words, kind, picture };
}

export function stateMark(clip) {
  const { words, kind, picture } = stateOf(clip);
  return el("span", { class: `state ${kind}`, data: { status: clip.status } }, icon(picture), words);
}

/** 0 to 1 */
export function progressOf(clip) {
  return clip.progress ? (ORDER.indexOf(clip.progress.stage) + 0.5) / ORDER.length : 0.02;
}

export function waitingFor(clip) {
  if (clip.progress) return `${STAGES[clip.progress.stage] ?? clip.progress.stage} ...`;
  if (clip.readyTimestampInMs) return `Should be ready at ${clock(clip.readyTimestampInMs, 0)}, ${until(clip.readyTimestampInMs)}`;
  return clip.reason || "Waits for its turn";
}

export function steps(clip) {
  const at = clip.progress ? ORDER.indexOf(clip.progress.stage) : 0;
  return el("ol", { class: "steps", "aria-label": "Stages" }, ...ORDER.map((stage, number) => {
    const kind = number < at ? "done" : number === at ? "now" : "";
    return el("li", { class: kind, "aria-current": kind === "now" ? "step" : null }, STAGES[stage]);
  }));
}

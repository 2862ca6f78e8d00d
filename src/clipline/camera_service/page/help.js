/** What mouse and keys do. */
import { dialog, el } from "./dom.js";

const KEYS = [
  ["Timeline", null],
  ["Move the pointer", "look: the picture at that instant"],
  ["Drag", "choose what to cut; its ends can be moved"],
  ["Scroll, + -", "zoom"],
  ["Shift and drag, scroll sideways", "move the timeline"],
  ["← →", "move the cursor; with shift further, with alt by one frame"],
  [", .", "one frame back, one frame ahead"],
  ["I, O", "start and end of what to cut"],
  ["Enter", "request the clip"],
  ["Page up, Page down", "one screen back, one screen ahead"],
  ["Home, End", "the first recording, the last one"],
  ["0", "all that is recorded"],
  ["Esc", "choose nothing; leave the clip"],
  ["Player", null],
  ["Space, K", "play, pause"],
  [", .", "one frame back, one frame ahead"],
  ["J, L", "five seconds back, ahead"],
  ["M, F", "sound off and on; full screen"],
  ["Everywhere", null],
  ["/", "search clips"],
  ["?", "this help"],
];

export function showHelp() {
  dialog("Keyboard and mouse", (close) => el("div", { class: "stack" },
    el("dl", { class: "keys" }, ...KEYS.flatMap(([keys, what]) => (what === null
      ? [el("dt", {}, el("strong", {}, keys)), el("dd", {})]
      : [el("dt", {}, el("kbd", {}, keys)), el("dd", {}, what)]))),
    el("div", { class: "actions end" }, el("button", { type: "button", on: { click: close } }, "Close"))));
}

/** Elements, without a framework. Text is always set as text. */

/**
 * @param {string} tag
 * @param {Object} properties of the element; `class`, `data`, `on` and names with a dash as in markup
 * @param {...(Node|string|null|undefined|false)} children
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

const PATHS = {
  left: "M14.5 5 8 12l6.5 7", right: "M9.5 5l6.5 7-6.5 7", plus: "M12 5v14M5 12h14", minus: "M5 12h14",
  pencil: "M4 20l1-4L16 5l3 3L8 19z", sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4 12H2M22 12h-2M5 5l1.5 1.5M17.5 17.5 19 19M5 19l1.5-1.5M17.5 6.5 19 5",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z", half: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  help: "M9 9.2a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.2M12 17.5v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  close: "M6 6l12 12M18 6 6 18", check: "M5 12.5l4.5 4.5L19 7.5", clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5.5l3.5 2",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", sound: "M4 9v6h4l5 4V5L8 9zM16.5 9a4 4 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11", muted: "M4 9v6h4l5 4V5L8 9zM17 9.5l5 5M22 9.5l-5 5",
  alert: "M12 4 2.5 20h19zM12 10v4.5M12 17.3v.1", play: "M7 5v14l12-7z", pause: "M8 5v14M16 5v14", back: "M17 6l-7 6 7 6zM7 6v12", ahead: "M7 6l7 6-7 6zM17 6v12",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14", share: "M9 12l7-4M9 12.5l7 4M7 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM18 4.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM18 14.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  again: "M19 8a8 8 0 1 0 1 6M20 3v5h-5", bin: "M5 7h14M10 4h4M7 7l1 13h8l1-13M10 11v5M14 11v5", copy: "M9 9h11v11H9zM5 15H4V4h11v1", scissors: "M6 4.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM6 14.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM8 8.5 20 18M8 15.5 20 6",
};

/** A picture that says nothing by itself: the control around it has a name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Say it for a moment, and to screen readers. */
export function toast(text, bad = false) {
  const one = el("div", { class: bad ? "toast bad" : "toast" }, text);
  byId("toasts").append(one);
  setTimeout(() => one.remove(), bad ? 9000 : 4000);
}

/** To screen readers alone. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** A modal dialog; `build` gets a function that closes it and gives its content. */
export function dialog(title, build) {
  const box = el("dialog", { "aria-labelledby": "dialog-title" });
  const close = () => box.close();
  box.append(el("h2", { id: "dialog-title" }, title), build(close));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch { // no clipboard without HTTPS or localhost: shown to be copied by hand
    dialog(what, (close) => el("div", { class: "stack" },
      el("textarea", { readOnly: true, rows: 6, cols: 50, value: text, "aria-label": what, on: { focus: (event) => event.target.select() } }),
      el("div", { class: "actions end" }, el("button", { type: "button", on: { click: close } }, "Close"))));
  }
}

export function debounced(call, ms) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), ms);
  };
}

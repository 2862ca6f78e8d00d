/** Light, dark, or as the system has it. */
import { icon } from "./dom.js";

const KEY = "clipline.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const ICONS = { auto: "half", light: "sun", dark: "moon" };
const WORDS = { auto: "as the system", light: "light", dark: "dark" };

export function initTheme(button, onChange = () => {}) {
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    if (button) {
      button.replaceChildren(icon(ICONS[theme]));
      button.setAttribute("aria-label", `Colours: ${WORDS[theme]}`);
      button.title = `Colours: ${WORDS[theme]}`;
    }
    onChange();
  };
  let theme = localStorage.getItem(KEY);
  if (!NEXT[theme]) theme = "auto";
  apply(theme);
  button?.addEventListener("click", () => {
    theme = NEXT[theme];
    localStorage.setItem(KEY, theme);
    apply(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}

// The switch between the theme of the system, the light one and the dark one.

import { element, write } from "./dom.js";
import { recall, remember } from "./storage.js";
import { strings } from "./strings.js";

const THEMES = ["system", "light", "dark"];

export function themeSwitch() {
  let theme = THEMES.includes(recall("theme")) ? recall("theme") : "system";
  const button = element("button", { type: "button", class: "quiet", onclick: turn }, "");

  function apply() {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    write(button, strings.themes[theme]);
  }

  function turn() {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember("theme", theme);
    apply();
  }

  apply();
  return button;
}

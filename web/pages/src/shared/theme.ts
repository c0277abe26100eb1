// The switch between the colours of the system, light and dark. It is a script of its own that runs before the page is
// painted, so that a reload does not flash.

import { store, stored } from "./storage.js";

type Theme = "system" | "light" | "dark";

const KEY = "tidewire-theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const LABELS: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };

function chosen(): Theme {
  const value = stored(KEY);
  return value === "light" || value === "dark" ? value : "system";
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = document.querySelector("[data-theme-switch]");
  button?.setAttribute("aria-label", `Colours: ${LABELS[theme]}`);
  button?.setAttribute("title", `Colours: ${LABELS[theme]}`);
  announce();
}

/** Tells the page that its colours have changed. */
function announce(): void {
  document.dispatchEvent(new Event("themechange"));
}

let theme = chosen();
apply(theme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);

document.addEventListener("DOMContentLoaded", () => {
  apply(theme);
  document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
    theme = NEXT[theme];
    store(KEY, theme);
    apply(theme);
  });
});

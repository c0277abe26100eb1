// The switch between the colours of the system, light and dark. It is a script of its own that runs before the page is
// painted, so that a reload does not flash.

type Theme = "system" | "light" | "dark";

const KEY = "tidewire-theme";
const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const LABELS: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system"; // A page may not be allowed to store anything.
  }
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = document.querySelector("[data-theme-switch]");
  button?.setAttribute("aria-label", `Colours: ${LABELS[theme]}`);
  button?.setAttribute("title", `Colours: ${LABELS[theme]}`);
  document.dispatchEvent(new Event("themechange"));
}

let theme = stored();
apply(theme);

document.addEventListener("DOMContentLoaded", () => {
  apply(theme);
  document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
    theme = NEXT[theme];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // The choice holds for this page only.
    }
    apply(theme);
  });
});

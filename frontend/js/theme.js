"use strict";
// Runs before the first paint, so that a chosen theme never flashes in the other one; hence a classic script in the head.
{
  const KEY = "fastvideo.theme";
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);

  const read = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // Storage can be switched off; the system's theme is used then.
    }
  };

  /** @param {string} theme */
  const write = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // The choice then lasts until the page is left.
    }
  };

  const chosen = read();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => button?.setAttribute("aria-label", isDark() ? "Switch to the light theme" : "Switch to the dark theme");
    label();
    prefersDark.addEventListener("change", label);
    button?.addEventListener("click", () => {
      const theme = isDark() ? "light" : "dark";
      root.dataset.theme = theme;
      write(theme);
      label();
    });
  });
}

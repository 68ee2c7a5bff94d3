/** Light or dark: the system's choice until the person makes one, which is then remembered. */
import { signal } from "@preact/signals";
import { loadTheme, saveTheme, type Theme } from "./storage.ts";

const system = matchMedia("(prefers-color-scheme: dark)");
const themeOfSystem = (): Theme => (system.matches ? "dark" : "light");

export const theme = signal<Theme>(loadTheme() ?? themeOfSystem());

export function applyTheme(): void {
  const chosen = loadTheme();
  if (chosen) document.documentElement.dataset.theme = chosen;
  system.addEventListener("change", () => {
    if (!loadTheme()) theme.value = themeOfSystem();
  });
}

export function toggleTheme(): void {
  theme.value = theme.peek() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme.value;
  saveTheme(theme.value);
}

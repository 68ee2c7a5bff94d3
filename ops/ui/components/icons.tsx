/** The page's icons: one stroke width, one grid, the colour of the text around them. */
import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg
      viewBox="0 0 24 24"
      width="20"
      height="20"
      fill="none"
      stroke="currentColor"
      stroke-width="1.75"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {children}
    </svg>
  );
}

const icon =
  (...paths: readonly string[]) =>
  () => (
    <Icon>
      {paths.map((d) => (
        <path key={d} d={d} />
      ))}
    </Icon>
  );

export const SendIcon = icon("M12 19V5.5", "m6 11 6-6 6 6");
export const NewIcon = icon("M12 20h8", "M16.4 4.2a2 2 0 0 1 2.9 2.9L8 18.4l-4 1.1 1.1-4Z");
export const SunIcon = icon(
  "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z",
  "M12 3v1.5",
  "M12 19.5V21",
  "M3 12h1.5",
  "M19.5 12H21",
  "m5.6 5.6 1.1 1.1",
  "m17.3 17.3 1.1 1.1",
  "m18.4 5.6-1.1 1.1",
  "m6.7 17.3-1.1 1.1",
);
export const MoonIcon = icon("M20 14.2A8.2 8.2 0 0 1 9.8 4a8.2 8.2 0 1 0 10.2 10.2Z");
export const UpIcon = icon(
  "M7 10.5v9.5H4v-9.5h3Z",
  "M7 11l4-7.5c1.3 0 2.2 1 2 2.3L12.6 9.5H18a2 2 0 0 1 2 2.3l-1 6.5a2 2 0 0 1-2 1.7H7",
);
export const DownIcon = icon(
  "M7 13.5V4H4v9.5h3Z",
  "M7 13l4 7.5c1.3 0 2.2-1 2-2.3l-.4-3.7H18a2 2 0 0 0 2-2.3l-1-6.5A2 2 0 0 0 17 4H7",
);
export const LatestIcon = icon("M12 5v13.5", "m6 13 6 6 6-6");
export const CloseIcon = icon("m6.5 6.5 11 11", "m17.5 6.5-11 11");
export const OutIcon = icon("M10 6H6v12h12v-4", "M13.5 5H19v5.5", "m19 5-8 8");

export function StopIcon() {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" fill="currentColor" aria-hidden="true" focusable="false">
      <rect x="7" y="7" width="10" height="10" rx="2" />
    </svg>
  );
}

/** The assistant's mark: three strokes of a claw. */
export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="28" height="28" class="mark" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="9" class="mark-ground" />
      <g fill="none" stroke-width="2.8" stroke-linecap="round" class="mark-strokes">
        <path d="M10 9c-1.6 5-1.4 9.5.8 14.5" />
        <path d="M16 8c-1.6 5.5-1.4 10.5.8 16" />
        <path d="M22 9c-1.6 5-1.4 9.5.8 14.5" />
      </g>
    </svg>
  );
}

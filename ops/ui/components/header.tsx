/** The shop's name, the state of the connection when it is not fine, theme and a fresh start. */
import { startNew } from "../sending.ts";
import { connection, loaded, strings, view } from "../store.ts";
import { theme, toggleTheme } from "../theme.ts";
import { Mark, MoonIcon, NewIcon, SunIcon } from "./icons.tsx";

export function Header() {
  const isDark = theme.value === "dark";
  const themeLabel = isDark ? strings.toLight : strings.toDark;
  const isEmpty = view.value.turns.length === 0 && view.value.pending.length === 0;
  return (
    <header class="header">
      <div class="brand">
        <Mark />
        <h1>{strings.title}</h1>
      </div>
      <ConnectionState />
      <div class="tools">
        <button
          type="button"
          class="icon-button"
          onClick={toggleTheme}
          aria-label={themeLabel}
          title={themeLabel}
        >
          {isDark ? <SunIcon /> : <MoonIcon />}
        </button>
        <button
          type="button"
          class="quiet-button"
          onClick={startNew}
          disabled={isEmpty}
          title={strings.newConversation}
        >
          <NewIcon />
          <span class="wide-only">{strings.newConversation}</span>
          <span class="hidden narrow-only">{strings.newConversation}</span>
        </button>
      </div>
    </header>
  );
}

function ConnectionState() {
  const state = connection.value;
  const text =
    state === "reconnecting"
      ? strings.reconnecting
      : state === "connecting" && !loaded.value
        ? strings.connecting
        : undefined;
  if (!text) return null;
  return (
    <p class="connection" data-state={state}>
      <span class="dot" aria-hidden="true" />
      {text}
    </p>
  );
}

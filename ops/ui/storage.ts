/** What the browser remembers: the session and its unsent messages, the theme, and the key for as long as the tab lives. */
import type { PendingMessage } from "./view.ts";

const SESSION = "jetclaw.session";
const OUTBOX = "jetclaw.outbox";
const THEME = "jetclaw.theme";
const KEY = "jetclaw.key";

export type Theme = "light" | "dark";

interface Stored {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
}
type Stores = Readonly<Record<"localStorage" | "sessionStorage", Stored>>;
const stores = globalThis as unknown as Stores;

// Storage may be blocked (private windows, strict settings); the page then works and forgets.
function get(store: keyof Stores, name: string): string | undefined {
  try {
    return stores[store].getItem(name) ?? undefined;
  } catch {
    return undefined;
  }
}

function set(store: keyof Stores, name: string, value: string): void {
  try {
    stores[store].setItem(name, value);
  } catch {
    // Nothing depends on it beyond this visit.
  }
}

/** 128 random bits: a session id cannot be guessed. */
export function randomId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return prefix + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function loadSession(): string {
  const known = get("localStorage", SESSION);
  return known?.startsWith("web-") ? known : newSession();
}

export function newSession(): string {
  const session = randomId("web-");
  set("localStorage", SESSION, session);
  saveOutbox(session, []);
  return session;
}

/**
 * Messages no turn had taken when the page was left. One that was being sent is sent again, under its id; never into
 * another session, which another tab may have begun meanwhile.
 */
export function loadOutbox(session: string): PendingMessage[] {
  try {
    const stored = JSON.parse(get("localStorage", OUTBOX) ?? "null") as Partial<Outbox> | null;
    if (stored?.session !== session || !Array.isArray(stored.pending)) return [];
    return stored.pending.filter(isPending);
  } catch {
    return [];
  }
}

interface Outbox {
  readonly session: string;
  readonly pending: readonly unknown[];
}

export function saveOutbox(session: string, pending: readonly PendingMessage[]): void {
  set("localStorage", OUTBOX, JSON.stringify({ session, pending } satisfies Outbox));
}

function isPending(value: unknown): value is PendingMessage {
  if (typeof value !== "object" || value === null) return false;
  const { id, text, at, delivery } = value as Partial<Record<keyof PendingMessage, unknown>>;
  return (
    typeof id === "string" &&
    typeof text === "string" &&
    typeof at === "number" &&
    typeof delivery === "object" &&
    delivery !== null
  );
}

export const loadTheme = (): Theme | undefined => {
  const theme = get("localStorage", THEME);
  return theme === "light" || theme === "dark" ? theme : undefined;
};
export const saveTheme = (theme: Theme): void => set("localStorage", THEME, theme);

/** `demo` is the key of a fresh clone, which listens on loopback only. */
export const loadKey = (): string => given ?? get("sessionStorage", KEY) ?? "demo";
export function saveKey(key: string): void {
  given = key;
  set("sessionStorage", KEY, key);
}
/** In this visit: storage may forget it. */
let given: string | undefined;

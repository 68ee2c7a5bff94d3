/**
 * The page's state as signals, kept true by the stream and the transcript. Rules live in session.ts and events.ts;
 * here they meet the network, the clock and the browser's storage. Sending is next door, in sending.ts.
 */
import { computed, effect, signal } from "@preact/signals";
import { ApiFailure, createApi } from "./api.ts";
import { refresher } from "./refresh.ts";
import { type Action, reduce } from "./session.ts";
import { loadKey, loadOutbox, loadSession, saveOutbox } from "./storage.ts";
import { type Connection, type LastTurn, openStream, type SessionStream } from "./stream.ts";
import { stringsFor } from "./strings.ts";
import { emptyView, isAwaited, runningTurn } from "./view.ts";

export const locale = navigator.language || "en";
export const strings = stringsFor(navigator.languages.length > 0 ? navigator.languages : [locale]);

const session = loadSession();
export const view = signal(emptyView(session, loadOutbox(session)));
export const connection = signal<Connection>("connecting");
/** The transcript was read once: an empty conversation is empty, not unknown. */
export const loaded = signal(false);
export const stopping = signal(false);
/** A quiet line above the input, for what has no place of its own. */
export const notice = signal<string | undefined>(undefined);
/** A key was given in this visit: asking again means that it was refused. */
export const keyTried = signal(false);
/** Text that goes back into the input: a message that has to be changed before it can be sent. */
export const draft = signal("");

export const running = computed(() => runningTurn(view.value));
export const awaited = computed(() => isAwaited(view.value));
const stale = computed(() => view.value.stale);

/** The source that is open, one at a time on the whole page: citation `n` of a turn, counted from 1. */
export const openSource = signal<{ readonly turn: number; readonly n: number } | undefined>(undefined);

export const api = createApi(document.baseURI, loadKey);
let stream: SessionStream | undefined;
export const wakeStream = (): void => stream?.wake();

const BEFORE_FIRST: LastTurn = { turn: 0, closed: false };
const QUIET_MS = 15_000;

export const dispatch = (action: Action): void => {
  view.value = reduce(view.value, action);
};

async function resync(): Promise<LastTurn> {
  const { session, turns } = view.peek();
  const transcript = await api.transcript(session);
  // The person may have begun another conversation while this one was read.
  if (session !== view.peek().session) return BEFORE_FIRST;
  if (transcript) dispatch({ type: "transcript", transcript });
  loaded.value = true;
  const known = turns.at(-1);
  if (!transcript && known) {
    // It was there before it was asked for, so it was erased.
    dispatch({ type: "erased", upTo: known.turn });
    return { turn: known.turn, closed: true };
  }
  const last = transcript?.turns.at(-1);
  return last ? { turn: last.turn, closed: last.reply !== null } : BEFORE_FIRST;
}

/** A refused key is asked for, and tried no more: each try with it would count as guessing. */
async function reread(): Promise<void> {
  if (connection.peek() === "locked") return;
  try {
    await resync();
  } catch (thrown) {
    if (thrown instanceof ApiFailure && thrown.kind === "key") connection.value = "locked";
    else throw thrown;
  }
}

const refresh = refresher(reread, () => stale.peek());

/** Opens the stream of the session that is shown, in place of the one before. */
export function follow(): void {
  const { session } = view.peek();
  stream?.close();
  stream = openStream({
    resync,
    open: (lastEventId, signal) => api.events(session, lastEventId, signal),
    onEvent: (event) => {
      if (session === view.peek().session) dispatch({ type: "event", event });
    },
    onConnection: (state) => {
      if (session === view.peek().session) connection.value = state;
    },
  });
}

/** Called once, when the page opens. */
export function start(): void {
  follow();
  let saved = view.peek().pending;
  effect(() => {
    if (view.value.pending !== saved) saveOutbox(view.value.session, view.value.pending);
    saved = view.value.pending;
  });
  effect(() => {
    if (!running.value && !awaited.value) stopping.value = false;
  });
  effect(() => {
    if (!stale.value) return;
    // A moment later: the record of a turn that just ended is then written, and a burst of events asks once.
    const timer = setTimeout(() => void refresh(), 150);
    return () => clearTimeout(timer);
  });
  effect(() => {
    // An event may be lost without the stream noticing: while an answer is due, silence makes the page look.
    const due = view.value && (running.value || awaited.value);
    const timer = due ? setInterval(() => void refresh(), QUIET_MS) : undefined;
    return () => clearInterval(timer);
  });
  addEventListener("online", wakeStream);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && connection.peek() !== "live") wakeStream();
  });
}

export async function stop(): Promise<void> {
  if (stopping.peek() || (!running.peek() && !awaited.peek())) return;
  stopping.value = true;
  notice.value = undefined;
  try {
    await api.stop(view.peek().session);
  } catch {
    stopping.value = false;
    notice.value = strings.stopFailed;
  }
}

export async function rate(turn: number, value: "up" | "down"): Promise<void> {
  const { session, turns } = view.peek();
  const before = turns.find((t) => t.turn === turn)?.feedback;
  if (before === value) return;
  dispatch({ type: "rated", turn, value });
  try {
    await api.feedback(session, turn, value);
  } catch {
    // Shown as given only when it was taken.
    if (session === view.peek().session) dispatch({ type: "rated", turn, value: before });
  }
}

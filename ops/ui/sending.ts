/**
 * The way of a message out of the page: sent under one id however often, waiting where the gateway asks for it, kept
 * with its text where it fails. And the two acts that begin anew: another session, another key.
 */
import { ApiFailure } from "./api.ts";
import { newSession, randomId, saveKey } from "./storage.ts";
import {
  api,
  connection,
  dispatch,
  draft,
  follow,
  keyTried,
  locale,
  notice,
  openSource,
  view,
  wakeStream,
} from "./store.ts";
import type { FailureReason, Message } from "./view.ts";

const resends = new Map<string, ReturnType<typeof setTimeout>>();

/** Called once, when the page opens: what was on its way when it was left is sent again. */
export function resumeSending(): void {
  for (const { delivery, ...message } of view.peek().pending) {
    if (delivery.state === "sending" || delivery.state === "waiting") void deliver(message);
  }
}

export function send(text: string): void {
  const message = { id: randomId("m-"), text, at: Date.now() };
  notice.value = undefined;
  dispatch({ type: "written", message });
  void deliver(message);
}

/** The same id every time: a message whose first send did arrive is not asked twice. */
async function deliver({ id, text }: Message): Promise<void> {
  const { session } = view.peek();
  clearTimeout(resends.get(id));
  dispatch({ type: "delivery", id, delivery: { state: "sending" } });
  try {
    await api.send(session, { id, text, locale });
    dispatch({ type: "delivery", id, delivery: { state: "accepted" } });
    if (connection.peek() !== "live" || view.peek().turns.length === 0) wakeStream();
  } catch (thrown) {
    failed({ id, text, at: 0 }, thrown);
  }
}

const REASONS = {
  network: "network",
  server: "server",
  key: "key",
  missing: "refused",
  refused: "refused",
  "too-long": "too-long",
} as const satisfies Record<Exclude<ApiFailure["kind"], "busy">, FailureReason>;

function failed(message: Message, thrown: unknown): void {
  const failure = thrown instanceof ApiFailure ? thrown : new ApiFailure("network", { cause: thrown });
  const { id } = message;
  if (failure.kind === "busy") {
    const waitMs = failure.retryAfterSeconds * 1_000;
    dispatch({ type: "delivery", id, delivery: { state: "waiting", until: Date.now() + waitMs } });
    resends.set(
      id,
      setTimeout(() => void retry(id), waitMs),
    );
    return;
  }
  if (failure.kind === "key") connection.value = "locked";
  dispatch({ type: "delivery", id, delivery: { state: "failed", reason: REASONS[failure.kind] } });
}

export function retry(id: string): void {
  const message = view.peek().pending.find((p) => p.id === id);
  if (message) void deliver(message);
}

/** Takes an unsent message away; `edit` puts its text back into the input. */
export function discard(id: string, edit = false): void {
  clearTimeout(resends.get(id));
  const message = view.peek().pending.find((p) => p.id === id);
  if (edit && message) draft.value = message.text;
  dispatch({ type: "discarded", id });
}

/** A fresh session; the one before stays where it is, with the gateway. */
export function startNew(): void {
  for (const timer of resends.values()) clearTimeout(timer);
  resends.clear();
  dispatch({ type: "opened", session: newSession(), pending: [] });
  notice.value = undefined;
  openSource.value = undefined;
  follow();
}

/** Tries a key; if it is refused as well, the stream says so again. */
export function giveKey(given: string): void {
  saveKey(given);
  keyTried.value = true;
  // Also where the stream of the key before is still open.
  follow();
  for (const { delivery, id } of view.peek().pending) {
    if (delivery.state === "failed" && delivery.reason === "key") retry(id);
  }
}

/** Server-sent events of a session: read, understood, and opened again where they broke off. */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { Answer, StreamEvent } from "#contracts/turn.ts";
import { JetclawClientError, problemError, unreachable } from "./http.ts";

/** An event of a turn: `turn`, `delta`, `restart`, `done`. A failed turn throws instead. */
export type TurnEvent = StreamEvent;

/** Pauses grow from the first to the longest; so many failures in a row are one too many. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 4_000;
const FAILURES = 10;
/** A gateway that never answered is given up sooner. */
const FAILURES_AT_FIRST = 3;
const EVENT_CHARS = 16 * 1_024 * 1_024;
/** A gateway sends comments while nothing happens; this much silence means a dead connection. */
const SILENCE_MS = 45_000;

/** The events of one connection. Ends when the connection does. @throws JetclawClientError for one that is dead */
async function* messagesOf(response: Response, silenceMs: number): AsyncGenerator<EventSourceMessage> {
  if (!response.body) return;
  const ready: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (message) => void ready.push(message), maxBufferSize: EVENT_CHARS });
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await beforeSilence(reader.read(), silenceMs);
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* ready.splice(0);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Whoever reads slowly is no silence: only the wait for the next bytes counts. */
async function beforeSilence<T>(next: Promise<T>, silenceMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unreachable(undefined)), silenceMs);
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** Undefined for events that this version does not know. @throws JetclawClientError for an `error` event */
function eventOf({ event, data }: EventSourceMessage): TurnEvent | undefined {
  const { turn, attempt, number, text, messages, ...rest } = JSON.parse(data) as StreamEvent &
    Answer & { status?: number };
  switch (event) {
    case "turn":
      return { type: "turn", turn, attempt, number, ...(messages ? { messages } : {}) };
    case "delta":
    case "restart":
      return { type: event, turn, attempt, number, text: text ?? "" };
    case "done":
      return { type: "done", turn, attempt, number, text: text ?? "", answer: { ...rest, turn } };
    case "error":
      throw problemError(rest, rest.status ?? 502);
    default:
      return undefined;
  }
}

export interface Following {
  /** Opens a connection: after an event, or from the beginning while none was seen. */
  readonly open: (lastEventId: string | undefined, signal: AbortSignal) => Promise<Response>;
  readonly lastEventId?: string | undefined;
  readonly signal: AbortSignal;
  readonly silenceMs?: number;
}

/** Events without end; connections that break off are opened again after the last event seen. */
export async function* followEvents({
  open,
  lastEventId,
  signal,
  silenceMs = SILENCE_MS,
}: Following): AsyncGenerator<TurnEvent> {
  let last = lastEventId;
  let failures = 0;
  let connected = false;
  for (;;) {
    let broken: unknown;
    const connection = new AbortController();
    try {
      const opened = open(last, AbortSignal.any([signal, connection.signal]));
      const response = await beforeSilence(opened, silenceMs);
      connected = true;
      for await (const message of messagesOf(response, silenceMs)) {
        const event = eventOf(message);
        failures = 0;
        if (message.id) last = message.id;
        if (event) yield event;
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!isPassing(error)) throw error;
      broken = error;
    } finally {
      connection.abort();
    }
    // Connections that end without an event count too: a stream that is quiet for long has comments, not ends.
    if (failures >= (connected ? FAILURES : FAILURES_AT_FIRST))
      throw broken instanceof JetclawClientError ? broken : unreachable(broken);
    await pause(failures++, signal);
  }
}

/** What stands before gateways says so while none of them answers; a gateway's own 502 and 504 are of a turn. */
const NO_GATEWAY: readonly number[] = [502, 503, 504];

/** Whether the next try may go better: the connection broke, or the gateway has no store at the moment. */
function isPassing(error: unknown): boolean {
  if (error instanceof JetclawClientError) {
    if (error.code === "client.unexpected") return NO_GATEWAY.includes(error.status);
    return error.code === "client.unreachable" || (error.status === 503 && error.retry !== "never");
  }
  // What fetch throws when a body breaks off.
  return error instanceof TypeError || (error instanceof Error && error.name === "AbortError");
}

function pause(failures: number, signal: AbortSignal): Promise<void> {
  const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal.addEventListener("abort", abort, { once: true });
  });
}

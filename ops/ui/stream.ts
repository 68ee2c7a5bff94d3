/**
 * Owns the page's one long-lived stream: open, read, notice silence, come back. EventSource cannot send a key, so
 * this is fetch with a parser. Before every (re)connection the transcript is read; the stream then continues after
 * the last event seen, and what it repeats is harmless.
 */
import { createParser } from "eventsource-parser";
import type { StreamEvent } from "#contracts/turn.ts";
import { ApiFailure } from "./api.ts";
import { parseEvent } from "./wire.ts";

export type Connection = "connecting" | "live" | "reconnecting" | "locked";

/** Turn 0 is before the first. */
export interface LastTurn {
  readonly turn: number;
  readonly closed: boolean;
}

export interface StreamOptions {
  /** Reads the transcript; resolves with its last turn. */
  readonly resync: () => Promise<LastTurn>;
  readonly open: (lastEventId: string, signal: AbortSignal) => Promise<ReadableStream<Uint8Array>>;
  readonly onEvent: (event: StreamEvent) => void;
  readonly onConnection: (connection: Connection) => void;
}

export interface SessionStream {
  /** Ends a pause now: the network is back, a key was given, a message was sent. */
  wake(): void;
  close(): void;
}

/** The gateway sends comments while nothing happens; this much silence means a dead connection. */
const SILENCE_MS = 45_000;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 10_000;
const NO_CONVERSATION_PAUSE_MS = 30_000;

export function openStream(options: StreamOptions): SessionStream {
  const closing = new AbortController();
  const cursor = createCursor();
  let endPause: () => void = () => {};
  let woken = false;

  async function pause(ms: number): Promise<void> {
    // A wake that came while nothing paused counts for the next pause, or it would be lost.
    if (!woken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    woken = false;
  }

  function wake(): void {
    woken = true;
    endPause();
  }

  async function connectOnce(onLive: () => void): Promise<void> {
    cursor.atLeast(await options.resync());
    const attempt = new AbortController();
    const signal = AbortSignal.any([closing.signal, attempt.signal]);
    // A connection may die before it has answered, too: the browser would wait for it for minutes.
    const silence = setTimeout(() => attempt.abort(), SILENCE_MS);
    const body = await options.open(cursor.id(), signal).finally(() => clearTimeout(silence));
    onLive();
    await read(body, attempt, (event) => {
      cursor.seen(event);
      options.onEvent(event);
    });
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      options.onConnection(failures === 0 ? "connecting" : "reconnecting");
      try {
        woken = false;
        await connectOnce(() => {
          failures = 0;
          options.onConnection("live");
        });
        failures = 1;
        if (!closing.signal.aborted) await pause(FIRST_PAUSE_MS / 2);
      } catch (thrown) {
        if (closing.signal.aborted) return;
        failures = thrown instanceof ApiFailure && thrown.kind === "missing" ? 0 : failures + 1;
        await pause(pauseAfter(thrown, failures, options.onConnection));
      }
    }
  }

  void run();
  return {
    wake,
    close() {
      closing.abort();
      wake();
    },
  };
}

function pauseAfter(thrown: unknown, failures: number, onConnection: StreamOptions["onConnection"]): number {
  const kind = thrown instanceof ApiFailure ? thrown.kind : "network";
  // Only a key ends this pause; asking again with the wrong one would count as guessing.
  if (kind === "key") {
    onConnection("locked");
    return 2 ** 31 - 1;
  }
  // No conversation yet: the first message wakes the stream, and nothing is wrong until then.
  if (kind === "missing") {
    onConnection("live");
    return NO_CONVERSATION_PAUSE_MS;
  }
  onConnection("reconnecting");
  if (thrown instanceof ApiFailure && kind === "busy") return thrown.retryAfterSeconds * 1_000;
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
  return longest * (0.5 + Math.random() / 2);
}

async function read(
  body: ReadableStream<Uint8Array>,
  attempt: AbortController,
  onEvent: (event: StreamEvent) => void,
): Promise<void> {
  const parser = createParser({
    onEvent: ({ event, data }) => {
      const parsed = parseEvent(event, data);
      if (parsed) onEvent(parsed);
    },
  });
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  let silence = setTimeout(() => attempt.abort(), SILENCE_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => attempt.abort(), SILENCE_MS);
      parser.feed(value);
    }
  } finally {
    clearTimeout(silence);
  }
}

/** Larger than any attempt or number, and the most digits `Last-Event-ID` may have there. */
const END_OF_TURN = 999_999_999;

/** The highest `turn.attempt.number` seen. A late event of a lower attempt must not move it back. */
function createCursor() {
  let at: readonly [number, number, number] = [0, 0, 0];
  const advance = (next: readonly [number, number, number]): void => {
    const difference = next[0] - at[0] || next[1] - at[1] || next[2] - at[2];
    if (difference > 0) at = next;
  };
  return {
    id: () => at.join("."),
    seen: (event: StreamEvent) => advance([event.turn, event.attempt, event.number]),
    /** A turn that runs is read from its beginning; of a closed one the transcript told everything. */
    atLeast: ({ turn, closed }: LastTurn) =>
      advance(closed ? [turn, END_OF_TURN, END_OF_TURN] : [turn, 0, 0]),
  };
}

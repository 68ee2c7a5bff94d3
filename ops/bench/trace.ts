/** Recorded traffic: when requests came and how long they and their answers were. Pure. */

export interface TracedRequest {
  /** Ms since the trace began. */
  readonly at: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** JSON lines `{ t, in, out }`, t in seconds. @throws Error naming the first line that is something else */
export function parseTrace(text: string): TracedRequest[] {
  const lines = text.split("\n");
  const requests = lines.flatMap((line, n) => {
    if (line.trim() === "") return [];
    const { t, in: input, out: output } = parseLine(line, n);
    return [{ at: t * 1_000, inputTokens: input, outputTokens: Math.max(1, output) }];
  });
  return requests.sort((a, b) => a.at - b.at);
}

function parseLine(line: string, n: number): { t: number; in: number; out: number } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  const { t, in: input, out: output } = (value ?? {}) as Record<string, unknown>;
  if (typeof t === "number" && typeof input === "number" && typeof output === "number")
    return { t, in: input, out: output };
  throw new Error(
    `line ${n + 1} of the trace is not { "t": seconds, "in": tokens, "out": tokens }: ${line.slice(0, 80)}`,
  );
}

/** The part of the trace that fits the time, as fast as asked, without its first `from` seconds. */
export const paced = (
  trace: readonly TracedRequest[],
  speed: number,
  seconds: number,
  from = 0,
): TracedRequest[] =>
  trace
    .map((request) => ({ ...request, at: (request.at - from * 1_000) / speed }))
    .filter(({ at }) => at >= 0 && at < seconds * 1_000);

export const TOKEN_CHARS = 4;
/** A conversation is gone on with only while this share of the new input is more than all that was said in it. */
const FITTING = 0.8;
const TURNS = 6;

interface Thread {
  readonly session: string;
  readonly tokens: number;
  readonly turns: number;
}

/**
 * Traces name no conversations. A request goes on with one that was answered and whose history fits its input, two
 * times out of three; otherwise it begins a new one. So that the model reads about as much as it did in the trace.
 */
export class Threads {
  readonly #random: () => number;
  readonly #idle: Thread[] = [];
  readonly #busy = new Map<string, Thread>();
  #made = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** @returns the session and how many tokens its new message has */
  next({ inputTokens, outputTokens }: TracedRequest): {
    session: string;
    turn: number;
    messageTokens: number;
  } {
    const fits =
      this.#random() < 2 / 3 ? this.#idle.findIndex(({ tokens }) => tokens <= inputTokens * FITTING) : -1;
    const [found] = fits >= 0 ? this.#idle.splice(fits, 1) : [];
    const thread = found ?? { session: `c${this.#made++}`, tokens: 0, turns: 0 };
    const messageTokens = Math.max(1, inputTokens - thread.tokens);
    const tokens = thread.tokens + messageTokens + outputTokens;
    this.#busy.set(thread.session, { ...thread, tokens, turns: thread.turns + 1 });
    return { session: thread.session, turn: thread.turns + 1, messageTokens };
  }

  answered(session: string): void {
    const thread = this.#busy.get(session);
    if (thread && this.#busy.delete(session) && thread.turns < TURNS) this.#idle.push(thread);
  }
}

/** What a simulated model server can be told to do, and the chance that decides which request meets which fault. */
export interface SimulatorOptions {
  readonly port: number;
  readonly host: string;
  /** Names that `GET /v1/models` lists; any name is served. */
  readonly models: readonly string[];
  /** Time to the first token. */
  readonly ttftMs: number;
  /** Prefixes of prompts that the server remembers; 0 remembers none. */
  readonly prefixCache: number;
  /** Reading the part of a prompt that is not remembered, on top of `ttftMs`. */
  readonly prefillMsPer1kTokens: number;
  /** Of one stream; 0 means at once. */
  readonly tokensPerSecond: number;
  /** Requests served at once; the rest wait in line. */
  readonly concurrency: number;
  /** Shares of requests, 0 to 1, that meet each fault; together at most 1. */
  readonly errorRate: number;
  readonly hangRate: number;
  readonly halfStreamRate: number;
  readonly garbageRate: number;
  /** Status of the errors. */
  readonly status: number;
  /** Seconds in the `Retry-After` of the errors; undefined sends none. */
  readonly retryAfter: number | undefined;
  /** The same seed gives the n-th request the same fate. */
  readonly seed: number;
  /** Bytes of an answer. */
  readonly replyBytes: number;
  /** Answers are as long as the last message asks: "... in 44 tokens". */
  readonly lengths: boolean;
  /** How far apart two writes of a paced stream are at least: finer timers cost more than they show. */
  readonly paceMs: number;
  /** Ends answers with the marker [1]. */
  readonly cite: boolean;
  /** What a batch of 16 costs in time, as a multiple of a single request. */
  readonly batchFactor: number;
  /** False: there is no `/v1/files` and no `/v1/batches`. */
  readonly batchApi: boolean;
  /** Files are not deleted: 500. */
  readonly filesKept: boolean;
  /** How long a batch of the batch API takes. */
  readonly batchMs: number;
  /** Shares of such batches, 0 to 1, that fail as a whole, or expire with nothing or half of their requests answered. */
  readonly batchFailRate: number;
  readonly batchExpireRate: number;
  /** Input tokens of all such batches that wait; one that would go beyond fails at once. */
  readonly batchTokens: number;
  /** A longer input is refused with 400, and with it the batch that holds it, unless it is one of the batch API. */
  readonly contextTokens: number;
  /** Answers 400 to `stream_options`, as older servers do. */
  readonly refuseStreamOptions: boolean;
  /** Answers begin after it: who asks decides when, and not a time that a slow machine overtakes. */
  readonly hold: Promise<unknown> | undefined;
  /** Overrides what is answered. */
  readonly answer:
    | ((messages: readonly { role: string; content: string }[], model: string) => string)
    | undefined;
}

export const DEFAULTS: SimulatorOptions = {
  port: 0,
  host: "127.0.0.1",
  models: ["simulated"],
  ttftMs: 0,
  prefixCache: 0,
  prefillMsPer1kTokens: 0,
  tokensPerSecond: 0,
  concurrency: Number.POSITIVE_INFINITY,
  errorRate: 0,
  hangRate: 0,
  halfStreamRate: 0,
  garbageRate: 0,
  status: 500,
  retryAfter: undefined,
  seed: 1,
  replyBytes: 200,
  lengths: false,
  paceMs: 5,
  cite: false,
  batchFactor: 2,
  batchApi: true,
  filesKept: false,
  batchMs: 1_000,
  batchFailRate: 0,
  batchExpireRate: 0,
  batchTokens: Number.POSITIVE_INFINITY,
  contextTokens: Number.POSITIVE_INFINITY,
  refuseStreamOptions: false,
  hold: undefined,
  answer: undefined,
};

/**
 * How many times as long as a single request a batch takes: linear in its size, 1 for one, the batch factor for 16. Both
 * the time to the first token and the time between tokens are stretched by it.
 */
export function stretchOf({ batchFactor }: Pick<SimulatorOptions, "batchFactor">, items: number): number {
  return 1 + ((items - 1) / 15) * (batchFactor - 1);
}

export type Fate = "answer" | "error" | "hang" | "half-stream" | "garbage";

/** The fate of the n-th request under a seed. */
export function fateOf(options: SimulatorOptions, n: number): Fate {
  const draw = chance(options.seed, n);
  let edge = 0;
  const faults = [
    ["error", options.errorRate],
    ["hang", options.hangRate],
    ["half-stream", options.halfStreamRate],
    ["garbage", options.garbageRate],
  ] as const;
  for (const [fate, rate] of faults) {
    edge += rate;
    if (draw < edge) return fate;
  }
  return "answer";
}

/** A number in [0, 1) for each seed and n. Source: the finalizer of MurmurHash3. */
export function chance(seed: number, n: number): number {
  let h = Math.imul(seed, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

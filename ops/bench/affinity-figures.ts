/** What `jetclaw bench affinity` is asked for, and how its turns become figures. */
import { type BenchResult, describeMachine, median, quantile, round } from "./shape.ts";

export interface AffinityOptions {
  readonly seed: number;
  /** Measured for each of the two orders, over all rounds. */
  readonly seconds: number;
  /** Conversations at once. */
  readonly inFlight: number;
  readonly rounds: number;
  readonly endpoints: number;
  readonly turns: number;
  readonly prefillMsPer1kTokens: number;
  readonly say: (line: string) => void;
}

/** A help desk's instructions, and short turns. Four bytes are about a token. */
export const PAYLOADS = { instructionBytes: 2_048, messageBytes: 256, replyBytes: 512 };
/** Prefixes of one server: enough for every open conversation, so that what is lost was lost by moving. */
export const PREFIXES = 20_000;
export const TTFT_MS = 20;
export const TOKENS_PER_SECOND = 2_000;

export interface Turn {
  readonly turn: number;
  readonly firstTokenMs: number;
  readonly inputTokens: number;
  readonly cachedTokens: number;
}

export interface Figures {
  readonly meanFirstTokenMs: number;
  readonly p50FirstTokenMs: number;
  readonly p99FirstTokenMs: number;
  readonly meanFirstTokenOngoingMs: number;
  readonly cachedShare: number;
  readonly turnsPerSecond: number;
}

export function figuresOf(turns: readonly Turn[], seconds: number): Figures {
  const times = turns.map(({ firstTokenMs }) => firstTokenMs);
  const ongoing = turns.filter(({ turn }) => turn > 1).map(({ firstTokenMs }) => firstTokenMs);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const mean = (values: readonly number[]): number => round(sum(values) / (values.length || 1));
  const input = sum(turns.map(({ inputTokens }) => inputTokens));
  return {
    meanFirstTokenMs: mean(times),
    p50FirstTokenMs: round(quantile(times, 0.5)),
    p99FirstTokenMs: round(quantile(times, 0.99)),
    meanFirstTokenOngoingMs: mean(ongoing),
    cachedShare: round(sum(turns.map(({ cachedTokens }) => cachedTokens)) / (input || 1)),
    turnsPerSecond: round(turns.length / seconds, 1),
  };
}

const UNITS: Readonly<Record<keyof Figures, string>> = {
  meanFirstTokenMs: "ms",
  p50FirstTokenMs: "ms",
  p99FirstTokenMs: "ms",
  meanFirstTokenOngoingMs: "ms",
  cachedShare: "ratio",
  turnsPerSecond: "turns/s",
};
const NAMES = Object.keys(UNITS) as (keyof Figures)[];
/** Baselines stand beside their figures under this prefix. */
export const SCATTERED = "scattered";

export function resultOf(
  options: AffinityOptions,
  on: readonly Figures[],
  off: readonly Figures[],
): BenchResult {
  const { seed, seconds, rounds, inFlight, endpoints, turns, prefillMsPer1kTokens } = options;
  const medians = (of: readonly Figures[]): Figures =>
    Object.fromEntries(NAMES.map((name) => [name, round(median(of.map((each) => each[name])))])) as Record<
      keyof Figures,
      number
    >;
  const figures = medians(on);
  const base = medians(off);
  const named = NAMES.map((name) => [name, `${SCATTERED}${name[0]?.toUpperCase()}${name.slice(1)}`] as const);
  return {
    bench: "affinity",
    seed,
    machine: describeMachine("none"),
    config: {
      seconds,
      rounds,
      inFlight,
      endpoints,
      turnsPerConversation: turns,
      payloads: PAYLOADS,
      server: {
        ttftMs: TTFT_MS,
        tokensPerSecond: TOKENS_PER_SECOND,
        prefillMsPer1kTokens,
        prefixes: PREFIXES,
      },
      traceSampling: 0,
      processes: { all: 1 },
    },
    figures: {
      ...figures,
      firstTokenRatio: round(figures.meanFirstTokenMs / (base.meanFirstTokenMs || 1)),
    },
    units: {
      ...Object.fromEntries(
        named.flatMap(([name, other]) => [
          [name, UNITS[name]],
          [other, UNITS[name]],
        ]),
      ),
      firstTokenRatio: "ratio",
    },
    baselines: Object.fromEntries(named.map(([name, other]) => [other, base[name]])),
  };
}

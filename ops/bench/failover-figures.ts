/** What `jetclaw bench failover` says about the turns that it saw. */

import type { FailoverOptions } from "./failover.ts";
import { loadResult } from "./load-result.ts";
import type { Asked } from "./open-loop.ts";
import { type BenchResult, quantile, round } from "./shape.ts";

interface Window {
  readonly from: number;
  readonly until: number;
}

/** Moments on the clock of the loop, ms. */
export interface Faults {
  readonly quiet: Window;
  readonly drain: Window & { readonly took: number };
  readonly joined: Window & { readonly took: number };
  readonly killedAt: number;
  readonly sessionsOfKilled: ReadonlySet<string>;
}

const SECOND_MS = 1_000;

/** Latencies of the turns that were under way at some time of the window. */
function latencies(asked: readonly Asked[], { from, until }: Window): number[] {
  return asked.flatMap(({ dueAt, latencyMs }) =>
    latencyMs !== undefined && dueAt < until && dueAt + latencyMs > from ? [latencyMs] : [],
  );
}

/** The slowest turn of each stretch as long as the window: what the load does by itself in as much time. */
function slowestWithout(asked: readonly Asked[], quiet: Window, lengthMs: number): number {
  const slowest: number[] = [];
  for (let from = quiet.from; from < quiet.until; from += lengthMs)
    slowest.push(Math.max(0, ...latencies(asked, { from, until: Math.min(quiet.until, from + lengthMs) })));
  return Math.max(...slowest);
}

/** How long each session of the killed host had no answer to what it had asked, from the kill on. */
export function answerAgainMs(asked: readonly Asked[], { killedAt, sessionsOfKilled }: Faults): number[] {
  const worst = new Map<string, number>([...sessionsOfKilled].map((session) => [session, 0]));
  for (const { session, dueAt, latencyMs = Number.POSITIVE_INFINITY } of asked) {
    const answeredAt = dueAt + latencyMs;
    const known = worst.get(session);
    if (known === undefined || answeredAt < killedAt) continue;
    worst.set(session, Math.max(known, answeredAt - Math.max(dueAt, killedAt)));
  }
  return [...worst.values()];
}

/** The largest latency of each second, for the plot. */
function slowestBySecond(asked: readonly Asked[]): [number, number][] {
  const bySecond = new Map<number, number>();
  for (const { dueAt, latencyMs } of asked) {
    const second = Math.floor(dueAt / SECOND_MS);
    bySecond.set(second, Math.max(bySecond.get(second) ?? 0, latencyMs ?? 0));
  }
  return [...bySecond].sort(([a], [b]) => a - b).map(([second, ms]) => [second, round(ms, 1)]);
}

const UNITS: Readonly<Record<string, string>> = {
  affectedSessions: "sessions",
  turnsLost: "turns",
  turnsDoubled: "turns",
  turnsUnsent: "turns",
  turns: "turns",
};

export function failoverResult(
  options: FailoverOptions,
  { fsync, asked, faults }: { fsync: number; asked: readonly Asked[]; faults: Faults },
): BenchResult {
  const { quiet, drain, joined } = faults;
  const again = answerAgainMs(asked, faults);
  const undisturbed = latencies(asked, quiet);
  const figures = {
    killAnswerAgainP50Ms: round(quantile(again, 0.5), 1),
    killAnswerAgainP99Ms: round(quantile(again, 0.99), 1),
    killAnswerAgainSlowestMs: round(Math.max(...again), 1),
    drainSlowestMs: round(Math.max(...latencies(asked, drain)), 1),
    drainP99Ms: round(quantile(latencies(asked, drain), 0.99), 1),
    drainTookMs: round(drain.took, 0),
    joinSlowestMs: round(Math.max(...latencies(asked, joined)), 1),
    joinP99Ms: round(quantile(latencies(asked, joined), 0.99), 1),
    joinTookMs: round(joined.took, 0),
    affectedSessions: again.length,
    turns: asked.length,
    turnsLost: asked.filter(({ records, unsent }) => records === 0 && !unsent).length,
    turnsDoubled: asked.filter(({ records }) => records > 1).length,
    turnsUnsent: asked.filter(({ unsent }) => unsent).length,
  };
  const baselines = {
    undisturbedP50Ms: round(quantile(undisturbed, 0.5), 1),
    undisturbedP99Ms: round(quantile(undisturbed, 0.99), 1),
    undisturbedSlowestMs: round(slowestWithout(asked, quiet, drain.until - drain.from), 1),
  };
  const { rate, hosts, workers, sessions, seconds } = options;
  return loadResult(options, {
    bench: "failover",
    config: {
      seconds,
      rate,
      sessions,
      arrivals: "steady",
      model: "echo",
    },
    processes: { hosts, workers },
    fsyncP50Ms: fsync,
    figures,
    unitOf: (name) => UNITS[name] ?? "ms",
    baselines,
    series: { slowestMs: slowestBySecond(asked) },
  });
}

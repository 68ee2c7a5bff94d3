/** What `jetclaw bench age` says about the turns that it saw. */

import type { AgeOptions } from "./age.ts";
import { loadResult } from "./load-result.ts";
import { type BenchResult, median, quantile, round } from "./shape.ts";

/** Turns of one kind of conversation, and what they cost. */
export interface Stretch {
  readonly turns: number;
  readonly latencies: readonly number[];
  readonly hostCpuMs: number;
  readonly natsCpuMs: number;
  readonly writtenBytes: number;
}

type Ages<T> = Readonly<Record<"old" | "young", T>>;

export interface AgeSeen {
  readonly measured: Ages<readonly Stretch[]>;
  /** Mean size of a stored record. */
  readonly recordBytes: Ages<number>;
  /** Latencies of messages that came again, and of first turns after a start. */
  readonly repeats: Ages<readonly number[]>;
  readonly first: Ages<readonly number[]>;
  /** Latencies of look-ups of a message that no turn has. */
  readonly lookUps: Ages<readonly number[]>;
}

function figuresOf(age: "old" | "young", { measured, recordBytes, repeats, first, lookUps }: AgeSeen) {
  const stretches = measured[age];
  const aTurn = (read: (stretch: Stretch) => number): number =>
    median(stretches.map((stretch) => read(stretch) / stretch.turns));
  const latency = (q: number): number => round(median(stretches.map((s) => quantile(s.latencies, q))));
  return {
    CpuHostMsPerTurn: round(aTurn(({ hostCpuMs }) => hostCpuMs)),
    CpuNatsMsPerTurn: round(aTurn(({ natsCpuMs }) => natsCpuMs)),
    P50Ms: latency(0.5),
    P99Ms: latency(0.99),
    WrittenBytesPerTurn: round(
      aTurn(({ writtenBytes }) => writtenBytes),
      0,
    ),
    RecordBytes: round(recordBytes[age], 0),
    FirstTurnP50Ms: round(quantile(first[age], 0.5)),
    FirstTurnMostMs: round(Math.max(...first[age])),
    LookUpP50Ms: round(quantile(lookUps[age], 0.5)),
    RepeatP50Ms: round(quantile(repeats[age], 0.5)),
    RepeatMostMs: round(Math.max(...repeats[age])),
  };
}

type Figures = ReturnType<typeof figuresOf>;

const named = (age: "old" | "young", figures: Figures): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${age}${name}`, value]));

function unitOf(name: string): string {
  if (name.endsWith("MsPerTurn")) return "ms/turn";
  if (name.endsWith("BytesPerTurn")) return "bytes/turn";
  if (name.endsWith("Bytes")) return "bytes";
  if (name.endsWith("Turns")) return "turns";
  return name.endsWith("Ms") ? "ms" : "ratio";
}

export function ageResult(options: AgeOptions, fsync: number, seen: AgeSeen): BenchResult {
  const old = figuresOf("old", seen);
  const young = figuresOf("young", seen);
  const ratio = (name: keyof Figures): number => round(old[name] / young[name]);
  const cpu = ({ CpuHostMsPerTurn, CpuNatsMsPerTurn }: Figures): number =>
    CpuHostMsPerTurn + CpuNatsMsPerTurn;
  const turns = (age: "old" | "young"): number => seen.measured[age].reduce((sum, s) => sum + s.turns, 0);
  const figures = {
    ratioOldToYoung: round(cpu(old) / cpu(young)),
    p50RatioOldToYoung: ratio("P50Ms"),
    p99RatioOldToYoung: ratio("P99Ms"),
    writtenRatioOldToYoung: ratio("WrittenBytesPerTurn"),
    recordRatioOldToYoung: ratio("RecordBytes"),
    measuredTurns: turns("old"),
    ...named("old", old),
  };
  const baselines = { youngMeasuredTurns: turns("young"), ...named("young", young) };
  const { turns: oldTurns, youngTurns, old: conversations, rounds, seconds } = options;
  return loadResult(options, {
    bench: "age",
    config: {
      turns: oldTurns,
      youngTurns,
      old: conversations,
      rounds,
      seconds,
      model: "echo",
    },
    processes: { hosts: 1, workers: 1 },
    fsyncP50Ms: fsync,
    figures,
    unitOf,
    baselines,
  });
}

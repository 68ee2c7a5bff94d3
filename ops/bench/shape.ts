/** The shape that all benchmarks share, and the arithmetic of their figures. */
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";

export interface BenchResult {
  readonly bench: string;
  readonly seed: number;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly figures: Readonly<Record<string, number>>;
  /** Unit of each figure and baseline by its name. */
  readonly units: Readonly<Record<string, string>>;
  readonly baselines: Readonly<Record<string, number>>;
  /** What the benchmark makes of its figures where that takes more than looking at them. */
  readonly verdicts?: Readonly<Record<string, string>>;
  /** What happened over time, `[seconds, value]`, where a benchmark tells a story: material of its plot. */
  readonly series?: Readonly<Record<string, readonly (readonly [number, number])[]>>;
}

export function describeMachine(natsServer: string): Record<string, string | number> {
  const list = cpus();
  return {
    cpus: list.length,
    cpu: list[0]?.model.trim() ?? "unknown",
    memoryGb: round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    natsServer,
  };
}

/** Median time of a 4 KB write with its fsync in this folder. */
export function fsyncP50Ms(folder: string, writes = 60): number {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `.fsync-${process.pid}`);
  const block = Buffer.alloc(4_096, 7);
  const file = openSync(path, "w");
  try {
    const times = Array.from({ length: writes }, () => {
      const from = performance.now();
      writeSync(file, block);
      fsyncSync(file);
      return performance.now() - from;
    });
    return round(quantile(times, 0.5));
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}

/** The value below which the share `q` lies; 0 for no values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

export const round = (value: number, digits = 3): number => Number(value.toFixed(digits));

/** Slope of the best line through the points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const n = points.length;
  if (n < 2) return 0;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return spread === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
}

export interface Trend {
  readonly perMinute: number;
  /** What chance makes of a slope that is none, at 95 %. */
  readonly chancePerMinute: number;
  readonly verdict: "flat" | "grows";
}

/** Neighbours in time are alike: only the means of stretches are told apart. */
const STRETCHES = 8;
/** Student's t for a line through them, at 95 %, both sides. */
const T_OF_STRETCHES = 2.45;
/** Growth over the whole time that is worth naming, of the mean. */
const NAMED_SHARE = 0.01;

/** Whether something grows over minutes: by more than chance, and by more than a hundredth over the time watched. */
export function trendOf(points: readonly (readonly [minute: number, value: number])[]): Trend {
  const size = Math.max(1, Math.floor(points.length / STRETCHES));
  const means = Array.from({ length: Math.min(STRETCHES, Math.floor(points.length / size)) }, (_, n) => {
    const part = points.slice(n * size, (n + 1) * size);
    return [meanOf(part.map(([x]) => x)), meanOf(part.map(([, y]) => y))] as const;
  });
  const perMinute = slope(means);
  const x0 = meanOf(means.map(([x]) => x));
  const y0 = meanOf(means.map(([, y]) => y));
  const spread = means.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  const left = means.reduce((sum, [x, y]) => sum + (y - y0 - perMinute * (x - x0)) ** 2, 0);
  const chancePerMinute =
    means.length < 3
      ? Number.POSITIVE_INFINITY
      : T_OF_STRETCHES * Math.sqrt(left / (means.length - 2) / spread);
  const minutes = (points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0);
  const grows = perMinute > chancePerMinute && perMinute * minutes > NAMED_SHARE * y0;
  return { perMinute, chancePerMinute, verdict: grows ? "grows" : "flat" };
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);

/** The same sequence for the same seed. Source: mulberry32, public domain. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS =
  "order parcel delivery return refund invoice address payment account voucher size colour stock store week day where when how long does it take to bring back the blue jacket that came yesterday".split(
    " ",
  );

/** Text of exactly so many bytes that compresses like text. */
export function textOf(bytes: number, random: () => number): string {
  let text = "";
  while (text.length < bytes) text += `${WORDS[Math.floor(random() * WORDS.length)]} `;
  return text.slice(0, bytes);
}

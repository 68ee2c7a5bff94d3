/** When things arrive, and what quantiles say about groups of them. Pure. */
import { quantile } from "./shape.ts";

/** Moments in ms at which people come at random, so many a second on average; without an end unless one is named. */
export function* poisson(
  random: () => number,
  perSecond: number,
  fromMs = 0,
  untilMs = Number.POSITIVE_INFINITY,
): Generator<number> {
  if (perSecond <= 0) return;
  for (let at = fromMs; ; ) {
    at += (-Math.log(1 - random()) * 1_000) / perSecond;
    if (at >= untilMs) return;
    yield at;
  }
}

/**
 * The same arrivals over and over, from the first one at or after `fromMs`: what is compared between two periods must not
 * be chance. `originMs` is where a period begins, before or at `fromMs`; times of `period` are from its beginning.
 */
export function* repeated(
  period: readonly number[],
  everyMs: number,
  originMs: number,
  fromMs: number,
): Generator<number> {
  if (period.length === 0) return;
  for (let start = originMs; ; start += everyMs)
    for (const at of period) if (start + at >= fromMs) yield start + at;
}

/** Values by group. */
export function groupBy<T>(
  items: readonly T[],
  group: (item: T) => string,
  value: (item: T) => number,
): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const item of items) {
    const name = group(item);
    const values = groups.get(name);
    if (values) values.push(value(item));
    else groups.set(name, [value(item)]);
  }
  return groups;
}

export interface GroupRatios {
  readonly worst: number;
  readonly median: number;
  /** Quantile of all values together, after over before. */
  readonly pooled: number;
  /** Fewest values that a group had in either. */
  readonly fewest: number;
  readonly groups: number;
}

/** How a quantile changed for each group that is in `before`; a group that vanished has an infinite ratio. */
export function ratiosOf(
  before: ReadonlyMap<string, readonly number[]>,
  after: ReadonlyMap<string, readonly number[]>,
  q: number,
): GroupRatios {
  const ratios: number[] = [];
  let fewest = Number.POSITIVE_INFINITY;
  for (const [name, values] of before) {
    const others = after.get(name) ?? [];
    fewest = Math.min(fewest, values.length, others.length);
    ratios.push(others.length === 0 ? Number.POSITIVE_INFINITY : quantile(others, q) / quantile(values, q));
  }
  const all = (groups: ReadonlyMap<string, readonly number[]>): number[] =>
    [...before.keys()].flatMap((name) => groups.get(name) ?? []);
  return {
    worst: ratios.length > 0 ? Math.max(...ratios) : 0,
    median: quantile(ratios, 0.5),
    pooled: quantile(all(after), q) / (quantile(all(before), q) || 1),
    fewest: Number.isFinite(fewest) ? fewest : 0,
    groups: ratios.length,
  };
}

/** True when no level was reached before the one below it. `levels` in order of time. */
export function roseInOrder(levels: readonly number[]): boolean {
  let reached = 0;
  for (const level of levels) {
    if (level > reached + 1) return false;
    reached = Math.max(reached, level);
  }
  return true;
}

/** Quantile in windows of time: `[seconds, value]` a window that holds anything. */
export function overTime<T>(
  items: readonly T[],
  atMs: (item: T) => number,
  value: (item: T) => number,
  q: number,
): [number, number][] {
  const seconds = groupBy(items, (item) => String(Math.floor(atMs(item) / 1_000)), value);
  return [...seconds]
    .map(([second, values]): [number, number] => [Number(second), quantile(values, q)])
    .sort(([a], [b]) => a - b);
}

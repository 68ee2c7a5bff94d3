/** From what was asked and answered in an overload to its figures. Pure but for the description of the machine. */
import { overTime, roseInOrder } from "./arrivals.ts";
import type { LoadBench } from "./deployed.ts";
import { loadResult } from "./load-result.ts";
import { ANSWERS, type Asked, kindOf, levelOf, type OpenLoop, tierChanges } from "./open-loop.ts";
import { type BenchResult, quantile, round } from "./shape.ts";

export interface OverloadOptions extends LoadBench {
  /** All arrivals, as a multiple of the capacity. */
  readonly factor: number;
  /** Time of a job at the model; the smaller one takes half of it. */
  readonly modelMs: number;
  readonly slots: number;
  readonly workers: number;
  readonly hosts: number;
}

/** Share of the capacity that the ongoing conversations need. */
export const ONGOING_SHARE = 0.7;
/** Jobs a second that the pool of ongoing conversations can serve. */
export const capacityOf = ({ workers, slots, modelMs }: OverloadOptions): number =>
  (workers * slots * 1_000) / modelMs;

interface Span {
  readonly from: number;
  readonly until: number;
}
export interface Phases {
  readonly alone: Span;
  readonly overload: Span;
  /** When level 0 was back. */
  readonly calmAt: number;
}
export interface Sample {
  readonly at: number;
  readonly level: number;
  readonly waiting: number;
  readonly hostsRssMb: number;
  /** Of all processes, so far. */
  readonly cpuMs: number;
}
interface Measured {
  readonly loop: Pick<OpenLoop, "asked">;
  readonly phases: Phases;
  readonly samples: readonly Sample[];
  /** Every change of the level, in order. */
  readonly levels: readonly number[];
  readonly fsync: number;
}

const within = ({ from, until }: Span, asked: readonly Asked[], group: string): Asked[] =>
  asked.filter((each) => each.group === group && each.dueAt >= from && each.dueAt < until);
const times = (asked: readonly Asked[]): number[] => asked.flatMap(({ latencyMs }) => latencyMs ?? []);

/** Figures of an overload: pure. */
export function overloadFigures({
  loop,
  phases,
  samples,
  levels,
}: Omit<Measured, "fsync">): Record<string, number> {
  const { asked } = loop;
  const alone = within(phases.alone, asked, "ongoing");
  const loaded = within(phases.overload, asked, "ongoing");
  const newcomers = asked.filter(({ group }) => group === "new");
  const ongoing = asked.filter(({ group }) => group !== "new");
  const p = (of: readonly Asked[], q: number): number => round(quantile(times(of), q), 1);
  const rss = (span: Span): number =>
    quantile(
      samples.filter(({ at }) => at >= span.from && at < span.until).map(({ hostsRssMb }) => hostsRssMb),
      0.5,
    );
  const cores = (span: Span): number => {
    const inside = samples.filter(({ at }) => at >= span.from && at < span.until);
    const [first, last] = [inside[0], inside.at(-1)];
    return first && last && last !== first ? (last.cpuMs - first.cpuMs) / (last.at - first.at) : 0;
  };
  const rssEnd = samples.at(-1)?.hostsRssMb ?? 0;
  const count = (of: readonly Asked[], ...kinds: readonly string[]): number =>
    of.filter((each) => kinds.includes(kindOf(each))).length;
  return {
    ongoingP95Ratio: round(p(loaded, 0.95) / (p(alone, 0.95) || 1)),
    ongoingP50Ratio: round(p(loaded, 0.5) / (p(alone, 0.5) || 1)),
    ongoingAloneP50Ms: p(alone, 0.5),
    ongoingAloneP95Ms: p(alone, 0.95),
    ongoingP50Ms: p(loaded, 0.5),
    ongoingP95Ms: p(loaded, 0.95),
    ongoingP99Ms: p(loaded, 0.99),
    ongoingTurns: loaded.length,
    ongoingRefused: count(ongoing, "refused"),
    ongoingFailed: count(ongoing, "failed", "none"),
    ongoingDegraded: count(ongoing, "smaller", "extract"),
    tierChanges: tierChanges(ongoing),
    newTurns: newcomers.length,
    ...Object.fromEntries(
      ANSWERS.map((kind) => [`new${kind[0]?.toUpperCase()}${kind.slice(1)}`, count(newcomers, kind)]),
    ),
    ...Object.fromEntries(
      [0, 1, 2, 3].map((level) => [
        `newAtLevel${level}`,
        newcomers.filter((each) => each.record && levelOf(each) === level).length,
      ]),
    ),
    newP50Ms: p(newcomers, 0.5),
    newP95Ms: p(newcomers, 0.95),
    levelChanges: levels.length,
    highestLevel: Math.max(0, ...levels),
    levelsRoseInOrder: roseInOrder(levels) ? 1 : 0,
    secondsToLevel0: round((phases.calmAt - phases.overload.until) / 1_000, 1),
    coresAlone: round(cores(phases.alone), 2),
    coresOverloaded: round(cores(phases.overload), 2),
    hostsRssBeforeMb: round(rss(phases.alone), 1),
    hostsRssGrowthMb: round(rssEnd - rss(phases.alone), 1),
    hostsRssMostMb: round(Math.max(0, ...samples.map(({ hostsRssMb }) => hostsRssMb)), 1),
  };
}

function unitOf(name: string): string {
  if (name.endsWith("Ratio")) return "ratio";
  if (name.endsWith("Ms")) return "ms";
  if (name.startsWith("cores")) return "cores";
  if (name.endsWith("Mb")) return "MB";
  if (name.startsWith("seconds")) return "s";
  if (name === "highestLevel" || name === "levelsRoseInOrder") return "";
  return name === "tierChanges" || name === "levelChanges" ? "changes" : "turns";
}

export function overloadResult(options: OverloadOptions, measured: Measured): BenchResult {
  const { seconds, factor, modelMs, slots, workers, hosts } = options;
  const { loop, phases, samples, levels, fsync } = measured;
  const figures = overloadFigures(measured);
  const from = phases.alone.from;
  const p95 = (group: string): [number, number][] =>
    overTime(
      loop.asked.filter((each) => each.group === group && each.latencyMs !== undefined && each.dueAt >= from),
      ({ dueAt }) => dueAt - from,
      ({ latencyMs }) => round(latencyMs ?? 0, 1),
      0.95,
    );
  const sampled = (value: (sample: Sample) => number): [number, number][] =>
    samples.filter(({ at }) => at >= from).map((each) => [round((each.at - from) / 1_000, 2), value(each)]);
  return loadResult(options, {
    bench: "overload",
    config: {
      seconds,
      factor,
      capacityPerSecond: capacityOf(options),
      ongoingShare: ONGOING_SHARE,
      modelMs,
      slots,
      levels,
      arrivals: "poisson",
      channel: "web, one message a turn",
      gateway: "left out",
    },
    processes: { hosts, workers, governor: 1, simulators: 1 },
    fsyncP50Ms: fsync,
    figures,
    unitOf,
    // Its own value without the new conversations, measured in the same run.
    series: {
      ongoingP95Ms: p95("ongoing"),
      newP95Ms: p95("new"),
      level: sampled(({ level }) => level),
      waiting: sampled(({ waiting }) => waiting),
    },
  });
}

/** From what was asked and answered of a trace to the figures. Pure but for the description of the machine. */
import { groupBy, overTime } from "./arrivals.ts";
import type { LoadBench } from "./deployed.ts";
import { loadResult } from "./load-result.ts";
import { ANSWERS, type Asked, kindOf } from "./open-loop.ts";
import { type BenchResult, quantile, round } from "./shape.ts";
import type { TracedRequest } from "./trace.ts";

export interface TrafficOptions extends LoadBench {
  readonly trace: readonly TracedRequest[];
  readonly traceName: string;
  readonly speed: number;
  /** Seconds of the recording that are skipped. */
  readonly from: number;
  readonly slots: number;
  readonly workers: number;
  readonly hosts: number;
}

/** A model as people meet it, before it is made faster. */
export const MODEL = { ttftMs: 200, prefillMsPer1kTokens: 100, tokensPerSecond: 50 };
export interface Depth {
  readonly at: number;
  readonly waiting: number;
  readonly inFlight: number;
  readonly level: number;
}
export interface TrafficMeasured {
  readonly asked: readonly Asked[];
  readonly depths: readonly Depth[];
  /** When the last message was sent and when the last answer came, ms. */
  readonly sentAt: number;
  readonly doneAt: number;
  readonly wanted: ReadonlyMap<string, TracedRequest>;
  readonly cut: number;
  readonly cores: number;
}

function figuresOf(options: TrafficOptions, measured: TrafficMeasured): Record<string, number> {
  const { speed } = options;
  const { asked, depths, wanted } = measured;
  const latencies = groupBy(
    asked.filter(({ latencyMs }) => latencyMs !== undefined),
    ({ group }) => group,
    ({ latencyMs }) => latencyMs ?? 0,
  );
  const all = [...latencies.values()].flat();
  const p = (of: readonly number[], q: number): number => round(quantile(of, q), 1);
  const byModel = asked.flatMap((each) => {
    const request = wanted.get(`${each.session}/${each.record?.turn}`);
    return kindOf(each) === "model" && request && each.record
      ? [{ each, request, usage: each.record.usage }]
      : [];
  });
  const added = byModel.map(
    ({ each, usage }) =>
      (each.latencyMs ?? 0) -
      (MODEL.ttftMs +
        (usage.inputTokens / 1_000) * MODEL.prefillMsPer1kTokens +
        (usage.outputTokens / MODEL.tokensPerSecond) * 1_000) /
        speed,
  );
  return {
    messages: asked.length,
    messagesPerSecond: round((asked.length * 1_000) / (measured.sentAt - (asked[0]?.dueAt ?? 0)), 1),
    messagesLost: asked.filter(({ records, unsent }) => records === 0 && !unsent).length,
    messagesDoubled: asked.filter(({ records }) => records > 1).length,
    messagesUnsent: asked.filter(({ unsent }) => unsent).length,
    p50Ms: p(all, 0.5),
    p95Ms: p(all, 0.95),
    p99Ms: p(all, 0.99),
    ongoingP95Ms: p(latencies.get("ongoing") ?? [], 0.95),
    newP95Ms: p(latencies.get("new") ?? [], 0.95),
    addedP50Ms: p(added, 0.5),
    addedP95Ms: p(added, 0.95),
    ...Object.fromEntries(
      ANSWERS.map((kind) => [
        `answers${kind[0]?.toUpperCase()}${kind.slice(1)}`,
        asked.filter((each) => kindOf(each) === kind).length,
      ]),
    ),
    queueWaitingP95: p(
      depths.map(({ waiting }) => waiting),
      0.95,
    ),
    queueWaitingMost: Math.max(0, ...depths.map(({ waiting }) => waiting)),
    inFlightMost: Math.max(0, ...depths.map(({ inFlight }) => inFlight)),
    highestLevel: Math.max(0, ...depths.map(({ level }) => level)),
    drainSeconds: round((measured.doneAt - measured.sentAt) / 1_000, 2),
    outputAsTracedShare: round(
      byModel.filter(({ request, usage }) => usage.outputTokens === request.outputTokens).length /
        (byModel.length || 1),
    ),
    inputToTraceRatio: round(
      byModel.reduce((sum, { usage }) => sum + usage.inputTokens, 0) /
        (byModel.reduce((sum, { request }) => sum + request.inputTokens, 0) || 1),
    ),
    inputsCut: measured.cut,
    cores: round(measured.cores, 2),
  };
}

function unitOf(name: string): string {
  if (name.endsWith("Ms")) return "ms";
  if (name === "messagesPerSecond") return "messages/s";
  if (name.endsWith("Seconds")) return "s";
  if (name.endsWith("Share")) return "share";
  if (name.endsWith("Ratio")) return "ratio";
  if (name.startsWith("queue") || name.startsWith("inFlight")) return "jobs";
  if (name === "cores") return "cores";
  return name === "highestLevel" ? "level" : "messages";
}

export function trafficResult(
  options: TrafficOptions,
  fsync: number,
  measured: TrafficMeasured,
): BenchResult {
  const { seconds, speed, slots, workers, hosts, traceName } = options;
  const figures = figuresOf(options, measured);
  const from = measured.asked[0]?.dueAt ?? 0;
  const answered = measured.asked.filter(({ latencyMs }) => latencyMs !== undefined);
  const latency = (q: number): [number, number][] =>
    overTime(
      answered,
      ({ dueAt }) => dueAt - from,
      ({ latencyMs }) => round(latencyMs ?? 0, 1),
      q,
    );
  const depth = (of: (depth: Depth) => number): [number, number][] =>
    measured.depths.map((each) => [round((each.at - from) / 1_000, 2), of(each)]);
  const arrivals = groupBy(
    measured.asked,
    ({ dueAt }) => String(Math.floor((dueAt - from) / 1_000)),
    () => 1,
  );
  return loadResult(options, {
    bench: "traffic",
    config: {
      seconds,
      trace: traceName,
      from: options.from,
      speed,
      model: { ...MODEL, madeFasterBy: speed },
      slots,
      gateway: "left out",
    },
    processes: { hosts, workers, governor: 1, simulators: 1 },
    fsyncP50Ms: fsync,
    figures,
    unitOf,
    series: {
      p50Ms: latency(0.5),
      p95Ms: latency(0.95),
      queueWaiting: depth(({ waiting }) => waiting),
      queueInFlight: depth(({ inFlight }) => inFlight),
      level: depth(({ level }) => level),
      arrivals: [...arrivals].map(([second, all]): [number, number] => [Number(second), all.length]),
    },
  });
}

/** From what was asked and answered while a tenant floods to the figures. Pure but for the description of the machine. */
import { groupBy, overTime, ratiosOf } from "./arrivals.ts";
import type { LoadBench } from "./deployed.ts";
import { loadResult } from "./load-result.ts";
import { type Asked, kindOf } from "./open-loop.ts";
import { type BenchResult, quantile, round } from "./shape.ts";

export interface FairnessOptions extends LoadBench {
  readonly tenants: number;
  /** Rate of the flooding tenant, as a multiple of its even rate. */
  readonly flood: number;
  readonly modelMs: number;
  readonly slots: number;
  readonly workers: number;
  readonly hosts: number;
}

const PHASES = ["even", "flood", "evenAgain", "saturated"] as const;
type Phase = (typeof PHASES)[number];

/** All tenants together at an even rate, as a share of the capacity. */
export const EVEN_SHARE = 0.6;
/** All arrivals of the saturated phase, as a share of the capacity. */
export const SATURATED_SHARE = 1.5;
const Q = 0.95;

export const capacityOf = ({ workers, slots, modelMs }: FairnessOptions): number =>
  (workers * slots * 1_000) / modelMs;

export interface FairnessMeasured {
  readonly asked: readonly Asked[];
  /** When deferred jobs were answered, while the capacity was exceeded, ms. */
  readonly deferredAt: readonly number[];
  readonly saturated: { readonly from: number; readonly until: number };
}

export function fairnessFigures({ asked, deferredAt, saturated }: FairnessMeasured): Record<string, number> {
  const of = (phase: Phase): Asked[] =>
    asked.filter(
      (each) => each.group === phase && each.tenant !== "tenant-0" && each.latencyMs !== undefined,
    );
  const byTenant = (phase: Phase): Map<string, number[]> =>
    groupBy(
      of(phase),
      ({ tenant }) => tenant,
      ({ latencyMs }) => latencyMs ?? 0,
    );
  const [even, evenAgain] = [byTenant("even"), byTenant("evenAgain")];
  // Without the flood is before it and after it: twice the turns for the quantile that all is held against.
  const without = new Map([...even].map(([name, ms]) => [name, [...ms, ...(evenAgain.get(name) ?? [])]]));
  const ratios = (phase: Phase) => ratiosOf(without, byTenant(phase), Q);
  const [flood, full, noise] = [ratios("flood"), ratios("saturated"), ratiosOf(even, evenAgain, Q)];
  const p95 = (phase: Phase): number =>
    round(
      quantile(
        of(phase).map(({ latencyMs }) => latencyMs ?? 0),
        Q,
      ),
      1,
    );
  const others = asked.filter((each) => each.tenant !== "tenant-0" && each.group !== "warm-up");
  const answeredIn = asked.filter(
    ({ dueAt, latencyMs }) =>
      latencyMs !== undefined && dueAt + latencyMs >= saturated.from && dueAt + latencyMs < saturated.until,
  ).length;
  const deferred = deferredAt.filter((at) => at >= saturated.from && at < saturated.until).length;
  return {
    worstTenantP95Ratio: round(flood.worst),
    medianTenantP95Ratio: round(flood.median),
    pooledP95Ratio: round(flood.pooled),
    worstTenantP95RatioSaturated: round(full.worst),
    medianTenantP95RatioSaturated: round(full.median),
    pooledP95RatioSaturated: round(full.pooled),
    othersEvenP95Ms: p95("even"),
    othersFloodP95Ms: p95("flood"),
    othersSaturatedP95Ms: p95("saturated"),
    flooderSaturatedP95Ms: round(
      quantile(
        asked.filter(({ group }) => group === "saturated flood").flatMap((a) => a.latencyMs ?? []),
        Q,
      ),
      1,
    ),
    othersUnanswered: others.filter((each) => kindOf(each) !== "model").length,
    tenantsCompared: flood.groups,
    fewestTurnsOfATenant: Math.min(flood.fewest, full.fewest),
    deferredShare: round(deferred / (deferred + answeredIn || 1)),
    worstTenantP95RatioOfNoise: round(noise.worst),
    medianTenantP95RatioOfNoise: round(noise.median),
  };
}

function unitOf(name: string): string {
  if (name.endsWith("Ms")) return "ms";
  if (name === "tenantsCompared") return "tenants";
  if (name === "othersUnanswered" || name === "fewestTurnsOfATenant") return "turns";
  return name.endsWith("Share") ? "share" : "ratio";
}

export function fairnessResult(
  options: FairnessOptions,
  fsync: number,
  measured: FairnessMeasured,
): BenchResult {
  const { seconds, tenants, flood, modelMs, slots, workers, hosts } = options;
  const all = fairnessFigures(measured);
  const isNoise = ([name]: [string, number]): boolean => name.endsWith("OfNoise");
  const figures = Object.fromEntries(Object.entries(all).filter((entry) => !isNoise(entry)));
  // The even phase against itself, under the name of what it is to be held against.
  const baselines = Object.fromEntries(
    Object.entries(all)
      .filter(isNoise)
      .map(([name, value]) => [
        `evenAgain${name[0]?.toUpperCase()}${name.slice(1, -"OfNoise".length)}`,
        value,
      ]),
  );
  const shown = measured.asked.filter(
    (each) => each.tenant !== "tenant-0" && each.group !== "warm-up" && each.latencyMs !== undefined,
  );
  const from = shown[0]?.dueAt ?? 0;
  const deferred = overTime(
    measured.deferredAt,
    (at) => at - from,
    () => 1,
    0,
  ).map(([at]): [number, number] => [
    at,
    measured.deferredAt.filter((each) => Math.floor((each - from) / 1_000) === at).length,
  ]);
  return loadResult(options, {
    bench: "fairness",
    config: {
      seconds,
      phases: PHASES,
      tenants,
      flood,
      capacityPerSecond: capacityOf(options),
      evenShare: EVEN_SHARE,
      saturatedShare: SATURATED_SHARE,
      modelMs,
      slots,
      governor: "left out",
    },
    processes: { hosts, workers },
    fsyncP50Ms: fsync,
    figures,
    unitOf,
    baselines,
    series: {
      othersP95Ms: overTime(
        shown,
        ({ dueAt }) => dueAt - from,
        ({ latencyMs }) => round(latencyMs ?? 0, 1),
        Q,
      ),
      deferredPerSecond: deferred,
    },
  });
}

/**
 * `jetclaw bench fairness`: tenants at an even rate, then the same while one of them floods, then while it floods beyond
 * the capacity with deferred work waiting besides. Every message begins a conversation, so all jobs have one class and
 * only lanes tell them apart. The even phase is run twice: what differs between the two is noise.
 */
import { join } from "node:path";
import { encode } from "#contracts/codec.ts";
import { JOB_VERSION, type Job } from "#contracts/job.ts";
import { inferSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { groupBy, overTime, poisson, ratiosOf } from "./arrivals.ts";
import { type Deployed, type LoadBench, startDeployed } from "./deployed.ts";
import { type Asked, kindOf, OpenLoop } from "./open-loop.ts";
import {
  type BenchResult,
  describeMachine,
  fsyncP50Ms,
  quantile,
  randomFrom,
  round,
  textOf,
} from "./shape.ts";

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
const EVEN_SHARE = 0.6;
/** All arrivals of the saturated phase, as a share of the capacity. */
const SATURATED_SHARE = 1.5;
const TEXT_BYTES = 200;
const WARM_UP_SECONDS = 3;
const SETTLE_LIMIT_MS = 60_000;
/** More deferred work than a phase can do. */
const DEFERRED_SHARE = 0.5;
const Q = 0.95;

const capacityOf = ({ workers, slots, modelMs }: FairnessOptions): number =>
  (workers * slots * 1_000) / modelMs;

export async function benchFairness(options: FairnessOptions): Promise<BenchResult> {
  const fsync = fsyncP50Ms(options.folder);
  const { natsBin, hosts, workers, slots, modelMs } = options;
  const deployed = await startDeployed({
    natsBin,
    hosts,
    workers,
    slots,
    modelMs,
    folder: join(options.folder, "fairness"),
    // Levels would answer the flood without a model; here lanes alone have to do.
    governors: 0,
    simulators: [],
    config: () => ({
      pools: { default: { models: [{ name: "echo", provider: "echo", concurrency: slots }] } },
      responseCache: false,
    }),
  });
  try {
    return resultOf(options, fsync, await run(options, deployed));
  } finally {
    await deployed.stop();
  }
}

interface Measured {
  readonly asked: readonly Asked[];
  /** When deferred jobs were answered, while the capacity was exceeded, ms. */
  readonly deferredAt: readonly number[];
  readonly saturated: { readonly from: number; readonly until: number };
}

async function run(options: FairnessOptions, { bus }: Deployed): Promise<Measured> {
  const { seconds, tenants, flood, say } = options;
  const loop = await OpenLoop.open(bus);
  const random = randomFrom(options.seed);
  const capacity = capacityOf(options);
  const even = EVEN_SHARE * capacity;
  let sessions = 0;
  const question = (tenant: number, group: string) => ({
    tenant: `tenant-${tenant}`,
    session: `s${sessions++}`,
    text: textOf(TEXT_BYTES, random),
    group,
  });
  // Tenants take turns, so that each has as many turns as the others.
  let turn = 0;
  const phase = async (group: string, lasting: number, floodPerSecond: number): Promise<void> => {
    const from = loop.now();
    const until = from + lasting * 1_000;
    say(
      `${group}: ${lasting} s, ${round(even, 1)} turns/s of ${tenants} tenants${floodPerSecond > 0 ? `, and ${round(floodPerSecond, 1)}/s more of one` : ""}`,
    );
    await Promise.all([
      loop.play(poisson(random, even, from, until), () => question(turn++ % tenants, group)),
      loop.play(poisson(random, floodPerSecond, from, until), () => question(0, `${group} flood`)),
    ]);
    // What waits of one phase is not to be measured in the next.
    if (group !== "saturated") await loop.settled(SETTLE_LIMIT_MS);
  };
  await phase("warm-up", WARM_UP_SECONDS, 0);
  await phase("even", seconds, 0);
  await phase("flood", seconds, ((flood - 1) * even) / tenants);
  await phase("evenAgain", seconds, 0);
  const deferredAt: number[] = [];
  await deferWork(bus, Math.ceil(DEFERRED_SHARE * capacity * seconds), () => deferredAt.push(loop.now()));
  const from = loop.now();
  await phase("saturated", seconds, SATURATED_SHARE * capacity - even);
  const saturated = { from, until: loop.now() };
  await loop.settled(SETTLE_LIMIT_MS);
  return { asked: loop.asked, deferredAt, saturated };
}

/** Jobs that nobody waits for, put directly on the queue: a mail's quiet time is longer than the benchmark. */
async function deferWork(bus: Bus, count: number, onDone: () => void): Promise<void> {
  bus.subscribe("reply.bench.*", () => onDone());
  await bus.flush();
  const at = Date.now();
  const job = (n: number): Job => ({
    v: JOB_VERSION,
    id: `deferred.${n}`,
    tenant: `tenant-${n % 50}`,
    session: `deferred-${n}`,
    turn: 1,
    step: 0,
    pool: "default",
    cls: "deferred",
    lane: 0,
    at,
    deadline: at + 3_600_000,
    messages: [{ role: "user", content: "Summarise the day." }],
    question: "Summarise the day.",
    locale: "en",
    passages: [],
    stream: false,
    replyTo: `reply.bench.${n}`,
  });
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      bus.append(inferSubject(job(n)), encode(job(n)), { id: job(n).id }),
    ),
  );
}

/** Pure. */
export function fairnessFigures({ asked, deferredAt, saturated }: Measured): Record<string, number> {
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
  const before = byTenant("even");
  const ratios = (phase: Phase) => ratiosOf(before, byTenant(phase), Q);
  const [flood, full, noise] = [ratios("flood"), ratios("saturated"), ratios("evenAgain")];
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

function resultOf(options: FairnessOptions, fsync: number, measured: Measured): BenchResult {
  const { seed, seconds, tenants, flood, modelMs, slots, workers, hosts } = options;
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
  return {
    bench: "fairness",
    seed,
    machine: describeMachine(options.natsServer),
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
      sync: "1s",
      fsyncP50Ms: fsync,
      traceSampling: 0,
      processes: { client: 1, hosts, workers, natsServer: 1 },
    },
    figures,
    units: Object.fromEntries(
      [...Object.keys(figures), ...Object.keys(baselines)].map((n) => [n, unitOf(n)]),
    ),
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
  };
}

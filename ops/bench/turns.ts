/**
 * `jetclaw bench turns`: whole durable turns a second and their latency, ours and the bare pipeline in turn, each round
 * on a fresh server with fresh processes. Medians over the rounds.
 */
import { join } from "node:path";
import { startBare } from "./bare.ts";
import { closedLoop, type Measured, steadyRate } from "./load.ts";
import { startOurs } from "./ours.ts";
import { type BenchResult, describeMachine, fsyncP50Ms, median, round } from "./shape.ts";
import type { CpuTimes, RecordSizes, Side, SideOptions, Traffic } from "./side.ts";

export interface TurnsOptions {
  /** What the result calls it: `turns` when left out. */
  readonly bench?: string;
  readonly seed: number;
  readonly seconds: number;
  /** Turns under way at once; at most, where the highest rate is looked for. */
  readonly inFlight: number;
  /** Looks for the number in flight with the highest rate, from this one on, doubling it while the rate grows. */
  readonly leastInFlight?: number;
  readonly rounds: number;
  readonly side: Omit<SideOptions, "folder" | "seed">;
  readonly folder: string;
  readonly natsServer: string;
  readonly say: (line: string) => void;
}

interface Round {
  readonly full: Measured;
  /** In flight under full load. */
  readonly inFlight: number;
  readonly single: Measured;
  /** At half of the rate that this round reached. */
  readonly half: Measured;
  readonly cpuMs: CpuTimes;
  readonly rssMb: number;
  readonly traffic: Traffic;
}

const WARM_UP_SECONDS = 2;
const WATCH_SECONDS = 1;
/** A rate that grows by less from one number in flight to its double is the highest. */
const GROWTH = 1.05;
/** Share of the seconds that the phases beside the full load take, each. */
const SHORT_PHASE = 0.4;

export async function benchTurns(options: TurnsOptions): Promise<BenchResult> {
  const { say, rounds } = options;
  const fsync = fsyncP50Ms(options.folder);
  const ours: Round[] = [];
  const bare: Round[] = [];
  for (let n = 0; n < rounds; n++) {
    // The order changes, so that a machine that slows down slows both.
    const order = n % 2 === 0 ? (["ours", "bare"] as const) : (["bare", "ours"] as const);
    for (const which of order) {
      const folder = join(options.folder, `${which}-${n}`);
      const side = { ...options.side, folder, seed: options.seed + n };
      const seen = (ours[n] ?? ours[n - 1])?.traffic;
      const measured = await measure(options, () =>
        which === "ours"
          ? startOurs(side)
          : startBare({ ...side, chunks: side.chunks === 0 ? 0 : chunksPerTurn(seen) }, sizesOf(seen)),
      );
      (which === "ours" ? ours : bare).push(measured);
      say(
        `round ${n + 1} of ${rounds}, ${which === "ours" ? "jetclaw" : "bare pipeline"}: ${summaryOf(measured)}`,
      );
    }
  }
  return resultOf(options, ours, bare, fsync);
}

const summaryOf = ({ full, single }: Round): string =>
  `${full.turnsPerSecond} turns/s, p50 ${full.p50Ms} ms, p99 ${full.p99Ms} ms; one in flight p50 ${single.p50Ms} ms`;

async function measure(
  { inFlight, leastInFlight = inFlight, seconds, rounds, say }: TurnsOptions,
  start: () => Promise<Side>,
): Promise<Round> {
  const side = await start();
  try {
    const share = seconds / rounds;
    await closedLoop(side, leastInFlight, WARM_UP_SECONDS);
    let traffic: Traffic = { turns: 0, publishes: {} };
    traffic = await side.watch(async () => void (await closedLoop(side, leastInFlight, WATCH_SECONDS)));
    let best = await underLoad(side, leastInFlight, share);
    for (let more = leastInFlight * 2; more <= inFlight; more *= 2) {
      const next = await underLoad(side, more, share);
      const growth = next.full.turnsPerSecond / (best.full.turnsPerSecond || 1);
      say(`${side.name}, ${more} in flight: ${next.full.turnsPerSecond} turns/s`);
      if (growth > 1) best = next;
      if (growth < GROWTH) break;
    }
    const { full } = best;
    const single = await closedLoop(side, 1, Math.max(1, share * SHORT_PHASE));
    const half = await steadyRate(side, full.turnsPerSecond / 2, Math.max(1, share * SHORT_PHASE));
    return { ...best, single, half, rssMb: Math.max(...(await side.hostRssMb())), traffic };
  } finally {
    await side.stop();
  }
}

async function underLoad(
  side: Side,
  inFlight: number,
  seconds: number,
): Promise<Pick<Round, "full" | "inFlight" | "cpuMs">> {
  const before = await side.cpu();
  const startedAt = performance.now();
  const full = await closedLoop(side, inFlight, seconds);
  const took = (performance.now() - startedAt) / 1_000;
  const after = await side.cpu();
  // The window's end cuts turns off; CPU is spent on them all the same.
  const turns = full.turnsPerSecond * Math.min(took, seconds) + Math.min(inFlight, full.turns);
  const each = (kind: keyof CpuTimes): number => (after[kind] - before[kind]) / turns;
  const cpuMs = {
    client: each("client"),
    hosts: each("hosts"),
    workers: each("workers"),
    natsServer: each("natsServer"),
  };
  return { full, inFlight, cpuMs };
}

/** Mean bytes of what travels in a turn of ours. */
function sizesOf(traffic: Traffic | undefined): RecordSizes {
  const mean = (what: string): number => {
    const entry = traffic?.publishes[what];
    return entry ? Math.round(entry.bytes / entry.count) : 0;
  };
  return {
    message: mean("message"),
    job: mean("job"),
    result: mean("result"),
    state: mean("state"),
    turn: mean("turn"),
  };
}

/** Events of the stream besides the chunks: `turn` and `done`. */
const FRAMES = 2;
const chunksPerTurn = (traffic: Traffic | undefined): number =>
  traffic && traffic.turns > 0
    ? Math.max(0, Math.round((traffic.publishes.chunk?.count ?? 0) / traffic.turns) - FRAMES)
    : 0;

const STORED = ["message", "job", "result", "state", "turn", "timer"] as const;
const storedPerTurn = ({ turns, publishes }: Traffic): number =>
  turns === 0 ? 0 : STORED.reduce((sum, what) => sum + (publishes[what]?.count ?? 0), 0) / turns;

function figuresOf(rounds: readonly Round[]): Record<string, number> {
  const of = (read: (round: Round) => number, digits = 3): number => round(median(rounds.map(read)), digits);
  const total = ({ client, hosts, workers, natsServer }: CpuTimes): number =>
    client + hosts + workers + natsServer;
  return {
    turnsPerSecond: of((r) => r.full.turnsPerSecond, 1),
    p50Ms: of((r) => r.full.p50Ms),
    p99Ms: of((r) => r.full.p99Ms),
    p50AtOneMs: of((r) => r.single.p50Ms),
    p50HalfLoadMs: of((r) => r.half.p50Ms),
    p99HalfLoadMs: of((r) => r.half.p99Ms),
    cpuMsPerTurn: of((r) => total(r.cpuMs)),
    cpuClientMsPerTurn: of((r) => r.cpuMs.client),
    cpuHostsMsPerTurn: of((r) => r.cpuMs.hosts),
    cpuWorkersMsPerTurn: of((r) => r.cpuMs.workers),
    cpuNatsMsPerTurn: of((r) => r.cpuMs.natsServer),
    publishesPerTurn: of((r) => storedPerTurn(r.traffic), 2),
    hostRssMb: of((r) => r.rssMb, 0),
    inFlight: of((r) => r.inFlight, 0),
  };
}

function unitOf(name: string): string {
  if (name.endsWith("TurnsPerSecond") || name === "turnsPerSecond") return "turns/s";
  if (name.endsWith("MsPerTurn")) return "ms/turn";
  if (name.endsWith("PerTurn")) return "1/turn";
  if (name.endsWith("Ms")) return "ms";
  if (name.endsWith("Mb")) return "MB";
  if (/inFlight$/i.test(name)) return "turns";
  return "ratio";
}

function resultOf(
  options: TurnsOptions,
  ours: readonly Round[],
  bare: readonly Round[],
  fsync: number,
): BenchResult {
  const { side, seconds, rounds, inFlight, seed } = options;
  const own = figuresOf(ours);
  const base = figuresOf(bare);
  const ratio = (name: string): number => round((own[name] ?? 0) / (base[name] || 1));
  const figures = {
    ...own,
    ratioToBarePipeline: ratio("turnsPerSecond"),
    p50RatioAtOne: ratio("p50AtOneMs"),
    cpuRatio: ratio("cpuMsPerTurn"),
  };
  const baselines = Object.fromEntries(
    Object.entries(base).map(([name, value]) => [
      `barePipeline${name[0]?.toUpperCase()}${name.slice(1)}`,
      value,
    ]),
  );
  return {
    bench: options.bench ?? "turns",
    seed,
    machine: describeMachine(options.natsServer),
    config: {
      seconds,
      rounds,
      inFlight,
      payloads: side.payloads,
      measuredBytes: sizesOf(ours.at(-1)?.traffic),
      sessions: side.sessions,
      turnsPerSession: side.turnsPerSession,
      chunks: side.chunks,
      ...(side.chunkMs ? { chunkMs: side.chunkMs } : {}),
      chunksPublishedPerTurn: chunksPerTurn(ours.at(-1)?.traffic),
      model: side.model,
      sync: side.sync,
      fsyncP50Ms: fsync,
      traceSampling: 0,
      shards: side.shards,
      processes: { client: 1, hosts: side.hosts, workers: side.workers, natsServer: 1 },
    },
    figures,
    units: Object.fromEntries(
      [...Object.keys(figures), ...Object.keys(baselines)].map((name) => [name, unitOf(name)]),
    ),
    baselines,
  };
}

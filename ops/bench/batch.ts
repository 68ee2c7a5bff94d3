/**
 * `jetclaw bench batch`: what batching gains over a backend that gains from batches, and what it costs a job that comes
 * alone. The same worker with and without batches, each round on fresh servers with fresh processes: the full load in turn,
 * the low load on both at once.
 */
import { join } from "node:path";
import { type BATCH_MODES, type BatchSide, startBatchSide } from "./batch-side.ts";
import {
  type BenchResult,
  describeMachine,
  fsyncP50Ms,
  median,
  quantile,
  randomFrom,
  round,
} from "./shape.ts";

export interface BatchOptions {
  readonly seed: number;
  /** Measured under full load for each of the two, over all rounds. */
  readonly seconds: number;
  readonly inFlight: number;
  readonly rounds: number;
  readonly mode: (typeof BATCH_MODES)[number];
  readonly modelMs: number;
  readonly maxRequests: number;
  readonly natsBin: string;
  readonly natsServer: string;
  readonly folder: string;
  readonly say: (line: string) => void;
}

/** The law of the simulated backend: a batch of 16 takes twice the time of one request. */
const BATCH_FACTOR = 2;
const PAYLOADS = { jobBytes: 2_048, replyBytes: 512 };
const WARM_UP_SECONDS = 1;
/** Low load: what one request after the other would keep busy of the backend. */
const LOW_LOAD = 0.2;
/** A quantile needs this many jobs. */
const LOW_LOAD_JOBS = 100;

interface Figures {
  readonly jobsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p50AtLowLoadMs: number;
  readonly p99AtLowLoadMs: number;
  readonly batchSizeMean: number;
  readonly batchSizeP10: number;
  readonly batchSizeP50: number;
  readonly fullBatchShare: number;
  readonly batchSizeMeanAtLowLoad: number;
  readonly cpuWorkerMsPerJob: number;
}

const UNITS: Readonly<Record<keyof Figures, string>> = {
  jobsPerSecond: "jobs/s",
  p50Ms: "ms",
  p99Ms: "ms",
  p50AtLowLoadMs: "ms",
  p99AtLowLoadMs: "ms",
  batchSizeMean: "requests",
  batchSizeP10: "requests",
  batchSizeP50: "requests",
  fullBatchShare: "ratio",
  batchSizeMeanAtLowLoad: "requests",
  cpuWorkerMsPerJob: "ms/job",
};
const NAMES = Object.keys(UNITS) as (keyof Figures)[];
/** Baselines stand beside their figures under this prefix. */
export const UNBATCHED = "unbatched";

export async function benchBatch(options: BatchOptions): Promise<BenchResult> {
  const { rounds, say } = options;
  const fsync = fsyncP50Ms(options.folder);
  const measured: Record<Which, Figures[]> = { batched: [], unbatched: [] };
  for (let n = 0; n < rounds; n++) {
    const both = await measure(options, n);
    for (const which of ["batched", "unbatched"] as const) {
      const figures = both[which];
      measured[which].push(figures);
      const { jobsPerSecond, p50AtLowLoadMs, batchSizeMean } = figures;
      say(
        `round ${n + 1} of ${rounds}, ${which}: ${jobsPerSecond} jobs/s in calls of ${batchSizeMean}, p50 at low load ${p50AtLowLoadMs} ms`,
      );
    }
  }
  return resultOf(options, mediansOf(measured.batched), mediansOf(measured.unbatched), fsync);
}

type Which = "batched" | "unbatched";

async function measure(options: BatchOptions, n: number): Promise<Record<Which, Figures>> {
  const { modelMs, inFlight, maxRequests } = options;
  const random = randomFrom(options.seed + n);
  const batched = await startSide(options, "batched", n);
  try {
    const unbatched = await startSide(options, "unbatched", n);
    try {
      for (const side of [batched, unbatched])
        await closedLoop(side, Math.min(inFlight, maxRequests), WARM_UP_SECONDS);
      for (const side of [batched, unbatched]) await side.callSizes();
      // Both at once: what disturbs a machine that does little else disturbs both.
      const [low, lowBase] = await lowLoad([batched, unbatched], modelMs, random);
      const full = async (side: BatchSide, times: readonly number[]): Promise<Figures> => {
        const lowSizes = await side.callSizes();
        return figuresOf(options, side, times, lowSizes);
      };
      // The order changes, so that a machine that slows down slows both.
      if (n % 2 === 0) {
        const own = await full(batched, low);
        return { batched: own, unbatched: await full(unbatched, lowBase) };
      }
      const base = await full(unbatched, lowBase);
      return { batched: await full(batched, low), unbatched: base };
    } finally {
      await unbatched.stop();
    }
  } finally {
    await batched.stop();
  }
}

function startSide(options: BatchOptions, which: Which, n: number): Promise<BatchSide> {
  const { natsBin, modelMs, maxRequests, mode, seed, folder } = options;
  return startBatchSide({
    natsBin,
    modelMs,
    maxRequests,
    batchFactor: BATCH_FACTOR,
    payloads: PAYLOADS,
    seed: seed + n,
    folder: join(folder, `${which}-${n}`),
    mode: which === "batched" ? mode : "concurrent",
  });
}

/** The full load, together with what the low load before it gave. */
async function figuresOf(
  { maxRequests, inFlight, rounds, ...options }: BatchOptions,
  side: BatchSide,
  low: readonly number[],
  lowSizes: readonly number[],
): Promise<Figures> {
  const cpuBefore = await side.workerCpuMs();
  const seconds = options.seconds / rounds;
  const full = await closedLoop(side, inFlight, seconds);
  const cpu = (await side.workerCpuMs()) - cpuBefore;
  const sizes = await side.callSizes();
  const mean = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0) / (of.length || 1);
  return {
    jobsPerSecond: round(full.inTime.length / seconds, 1),
    p50Ms: round(quantile(full.inTime, 0.5)),
    p99Ms: round(quantile(full.inTime, 0.99)),
    p50AtLowLoadMs: round(quantile(low, 0.5)),
    p99AtLowLoadMs: round(quantile(low, 0.99)),
    batchSizeMean: round(mean(sizes), 2),
    batchSizeP10: quantile(sizes, 0.1),
    batchSizeP50: quantile(sizes, 0.5),
    fullBatchShare: round(sizes.filter((size) => size === maxRequests).length / (sizes.length || 1)),
    batchSizeMeanAtLowLoad: round(mean(lowSizes), 2),
    cpuWorkerMsPerJob: round(cpu / (full.all || 1)),
  };
}

async function closedLoop(
  side: BatchSide,
  inFlight: number,
  seconds: number,
): Promise<{ inTime: number[]; all: number }> {
  const until = performance.now() + seconds * 1_000;
  const inTime: number[] = [];
  let all = 0;
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      const ms = await side.job();
      all++;
      // What ends after the window took part in the load, not in the figure.
      if (performance.now() <= until) inTime.push(ms);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return { inTime, all };
}

/** Jobs at random moments, as people send them: some meet each other, most come alone. Each goes to all sides. */
async function lowLoad<const Sides extends readonly BatchSide[]>(
  sides: Sides,
  modelMs: number,
  random: () => number,
): Promise<{ [Side in keyof Sides]: number[] }> {
  const running: Promise<number>[][] = sides.map(() => []);
  for (let n = 0; n < LOW_LOAD_JOBS; n++) {
    const gapMs = (-Math.log(1 - random()) * modelMs) / LOW_LOAD;
    await new Promise((resolve) => setTimeout(resolve, gapMs));
    // Who is first in the turn of the event loop changes.
    const order = sides.map((_, at) => (at + n) % sides.length);
    for (const at of order) running[at]?.push((sides[at] as BatchSide).job());
  }
  return (await Promise.all(running.map((all) => Promise.all(all)))) as { [Side in keyof Sides]: number[] };
}

const mediansOf = (of: readonly Figures[]): Figures =>
  Object.fromEntries(NAMES.map((name) => [name, round(median(of.map((each) => each[name])))])) as Record<
    keyof Figures,
    number
  >;

function resultOf(options: BatchOptions, own: Figures, base: Figures, fsync: number): BenchResult {
  const { seed, seconds, rounds, inFlight, mode, modelMs, maxRequests } = options;
  const gain = maxRequests / (1 + ((maxRequests - 1) / 15) * (BATCH_FACTOR - 1));
  const batchedToUnbatched = round(own.jobsPerSecond / (base.jobsPerSecond || 1));
  const named = NAMES.map((name) => [name, `${UNBATCHED}${name[0]?.toUpperCase()}${name.slice(1)}`] as const);
  return {
    bench: "batch",
    seed,
    machine: describeMachine(options.natsServer),
    config: {
      seconds,
      rounds,
      inFlight,
      mode,
      payloads: PAYLOADS,
      backend: { modelMs, concurrency: 1, batchFactor: BATCH_FACTOR },
      maxRequests,
      lowLoad: { share: LOW_LOAD, jobs: LOW_LOAD_JOBS },
      chunks: 0,
      sync: "1s",
      fsyncP50Ms: fsync,
      traceSampling: 0,
      processes: { client: 1, workers: 2, simulators: 2, natsServers: 2 },
    },
    figures: {
      ...own,
      batchedToUnbatched,
      gainOfBackend: round(gain),
      shareOfGain: round(batchedToUnbatched / gain),
      addedAtLowLoadMs: round(own.p50AtLowLoadMs - base.p50AtLowLoadMs),
    },
    units: {
      ...Object.fromEntries(
        named.flatMap(([name, other]) => [
          [name, UNITS[name]],
          [other, UNITS[name]],
        ]),
      ),
      batchedToUnbatched: "ratio",
      gainOfBackend: "ratio",
      shareOfGain: "ratio",
      addedAtLowLoadMs: "ms",
    },
    baselines: Object.fromEntries(named.map(([name, other]) => [other, base[name]])),
  };
}

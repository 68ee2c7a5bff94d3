/**
 * `jetclaw bench pump`: what taking jobs costs. Idle: whole workers that wait for jobs. Busy: bare pumps whose jobs only
 * wait, at nine tenths of what they can hold, so that pulls, acknowledgements and bells are all that is left.
 */
import { join } from "node:path";
import { encode } from "#contracts/codec.ts";
import { JOB_VERSION, type Job } from "#contracts/job.ts";
import { CLASSES, inferStream, inferSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { poisson } from "./arrivals.ts";
import { type Child, cpuMsOfProcess } from "./children.ts";
import { type Deployed, type LoadBench, startDeployed } from "./deployed.ts";
import { type BenchResult, describeMachine, fsyncP50Ms, randomFrom, round, textOf } from "./shape.ts";

export interface PumpBenchOptions extends LoadBench {
  readonly idleWorkers: number;
  readonly workers: number;
  readonly slots: number;
  readonly modelMs: number;
}

const LOAD_SHARE = 0.9;
const JOB_BYTES = 2_048;
/** Jobs put in line to see how fast they are done, and the share of them at which that is known. */
const BACKLOG_SECONDS = 4;
const BACKLOG_LEFT = 0.2;
/** Compiled code and first connections are no idle cost. */
const IDLE_SETTLING_SECONDS = 8;
const BUSY_SETTLING_SECONDS = 3;
const POOL = "default";

export async function benchPump(options: PumpBenchOptions): Promise<BenchResult> {
  const fsync = fsyncP50Ms(options.folder);
  const idle = await measureIdle(options);
  const busy = await measureBusy(options);
  return resultOf(options, fsync, { ...idle, ...busy });
}

interface Cpu {
  readonly workers: number;
  readonly natsServer: number;
}

async function cpuOf({ workers, natsPid }: Deployed): Promise<Cpu> {
  const used = await Promise.all(workers.map((child: Child) => child.usage()));
  return {
    workers: used.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    natsServer: cpuMsOfProcess(natsPid) ?? 0,
  };
}

const pause = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1_000));

function deploy(
  { folder, natsBin, slots, modelMs }: PumpBenchOptions,
  workerPart: "worker" | "pump",
  workers: number,
): Promise<Deployed> {
  return startDeployed({
    natsBin,
    workers,
    workerPart,
    slots,
    modelMs,
    folder: join(folder, workerPart),
    hosts: 0,
    governors: 0,
    simulators: [],
    config: () => ({
      pools: { [POOL]: { models: [{ name: "echo", provider: "echo", concurrency: slots }] } },
      shards: 1,
    }),
  });
}

async function measureIdle(options: PumpBenchOptions): Promise<Record<string, number>> {
  const { seconds, idleWorkers, say } = options;
  const deployed = await deploy(options, "worker", idleWorkers);
  try {
    say(`${idleWorkers} workers wait for ${seconds} s`);
    await pause(IDLE_SETTLING_SECONDS);
    const [from, before] = [performance.now(), await cpuOf(deployed)];
    await pause(seconds);
    const [took, after] = [performance.now() - from, await cpuOf(deployed)];
    const share = (kind: keyof Cpu): number => (after[kind] - before[kind]) / took;
    return {
      idleCoreShare: round(share("workers") + share("natsServer"), 4),
      idleWorkersCoreShare: round(share("workers"), 4),
      idleNatsCoreShare: round(share("natsServer"), 4),
      idleCoreShareOfAWorker: round((share("workers") + share("natsServer")) / idleWorkers, 5),
    };
  } finally {
    await deployed.stop();
  }
}

async function measureBusy(options: PumpBenchOptions): Promise<Record<string, number>> {
  const { seconds, workers, slots, modelMs, seed, say } = options;
  const deployed = await deploy(options, "pump", workers);
  const { bus } = deployed;
  try {
    const random = randomFrom(seed);
    const question = textOf(JOB_BYTES, random);
    const counts = { pulls: 0, jobs: 0, refused: 0 };
    bus.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${inferStream(POOL)}.>`, () => void counts.pulls++);
    await bus.flush();
    const send = async (): Promise<void> => {
      const job = jobOf(counts.jobs++, question);
      await bus.append(inferSubject(job), encode(job), { id: job.id }).catch(() => void counts.refused++);
    };
    const capacity = await capacityOf(bus, (slots * workers * 1_000) / modelMs, send);
    const perSecond = LOAD_SHARE * capacity;
    say(
      `${workers} pumps of ${slots} slots do ${round(capacity)} jobs/s; ${round(perSecond)} jobs/s for ${seconds} s`,
    );
    const startedAt = performance.now();
    const play = async (moments: Iterable<number>): Promise<void> => {
      for (const dueAt of moments) {
        while (performance.now() - startedAt < dueAt) await new Promise((resolve) => setTimeout(resolve, 1));
        void send();
      }
    };
    await play(poisson(random, perSecond, 0, BUSY_SETTLING_SECONDS * 1_000));
    const at = { ...counts, left: (await streamState(bus, inferStream(POOL))).messages };
    const [from, before] = [performance.now(), await cpuOf(deployed)];
    await play(
      poisson(
        random,
        perSecond,
        performance.now() - startedAt,
        performance.now() - startedAt + seconds * 1_000,
      ),
    );
    const [took, after] = [performance.now() - from, await cpuOf(deployed)];
    const { messages: left } = await streamState(bus, inferStream(POOL));
    // Done, not sent: pumps that fall behind must not look cheap.
    const jobs = counts.jobs - at.jobs - (left - at.left);
    return {
      pullsPerJob: round((counts.pulls - at.pulls) / jobs),
      cpuMsPerJob: round((after.workers + after.natsServer - before.workers - before.natsServer) / jobs),
      cpuWorkersMsPerJob: round((after.workers - before.workers) / jobs),
      cpuNatsMsPerJob: round((after.natsServer - before.natsServer) / jobs),
      jobsPerSecondAtMost: round(capacity, 1),
      jobsPerSecond: round((jobs * 1_000) / took, 1),
      jobsLeft: left,
      jobsRefused: counts.refused,
    };
  } finally {
    await deployed.stop();
  }
}

/** What the pumps do of a backlog: slots that are between two jobs are no capacity, so the load is a share of this. */
async function capacityOf(bus: Bus, nominal: number, send: () => Promise<void>): Promise<number> {
  await Promise.all(Array.from({ length: Math.ceil(nominal * BACKLOG_SECONDS) }, send));
  const stored = async (): Promise<number> => (await streamState(bus, inferStream(POOL))).messages;
  const [from, backlog] = [performance.now(), await stored()];
  for (;;) {
    await pause(0.05);
    const left = await stored();
    if (left <= backlog * BACKLOG_LEFT) {
      const perSecond = ((backlog - left) * 1_000) / (performance.now() - from);
      while ((await stored()) > 0) await pause(0.05);
      return Math.min(nominal, perSecond);
    }
  }
}

function jobOf(n: number, question: string): Job {
  const at = Date.now();
  return {
    v: JOB_VERSION,
    id: `pump.${n}`,
    tenant: `tenant-${n % 20}`,
    session: `s${n}`,
    turn: 1,
    step: 0,
    pool: POOL,
    // Mostly people who talk already, as in a deployment that is not overloaded.
    cls: CLASSES[n % 10 < 7 ? 0 : n % 10 < 9 ? 1 : 2] ?? "ongoing",
    lane: 0,
    at,
    deadline: at + 60_000,
    messages: [{ role: "user", content: question }],
    question: "",
    locale: "en",
    passages: [],
    stream: false,
  };
}

function unitOf(name: string): string {
  if (name.includes("CoreShare")) return "cores";
  if (name.endsWith("MsPerJob")) return "ms/job";
  if (name === "pullsPerJob") return "1/job";
  return name.startsWith("jobsPerSecond") ? "jobs/s" : "jobs";
}

function resultOf(
  options: PumpBenchOptions,
  fsync: number,
  figures: Readonly<Record<string, number>>,
): BenchResult {
  const { seed, seconds, idleWorkers, workers, slots, modelMs, natsServer } = options;
  return {
    bench: "pump",
    seed,
    machine: describeMachine(natsServer),
    config: {
      seconds,
      idleWorkers,
      workers,
      slots,
      modelMs,
      loadShare: LOAD_SHARE,
      arrivals: "poisson",
      classes: { ongoing: 0.7, new: 0.2, deferred: 0.1 },
      payloads: { jobBytes: JOB_BYTES },
      sync: "1s",
      fsyncP50Ms: fsync,
      traceSampling: 0,
      processes: { client: 1, natsServer: 1 },
    },
    figures,
    units: Object.fromEntries(Object.keys(figures).map((name) => [name, unitOf(name)])),
    baselines: {},
  };
}

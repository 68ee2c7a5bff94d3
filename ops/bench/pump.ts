/**
 * `jetclaw bench pump`: what taking jobs costs. Idle: whole workers that wait for jobs, beside a server without any. Busy:
 * bare pumps whose jobs only wait, at nine tenths of what they can hold, so that pulls, acknowledgements and bells are
 * all that is left; the same jobs stored with nobody to take them, since the server's CPU holds that as well; as many through
 * a bare consumer; and the same with all slots in one process.
 */
import { join } from "node:path";
import { encode } from "#contracts/codec.ts";
import { inferStream, inferSubject } from "#contracts/subjects.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { type Deployed, startDeployed } from "./deployed.ts";
import { measureBare } from "./pump-bare.ts";
import {
  BUSY_SETTLING_SECONDS,
  cpuFigures,
  JOB_BYTES,
  jobOf,
  type PumpBenchOptions,
  pause,
  play,
  SHORT_SHARE,
  spentIn,
  storingMs,
} from "./pump-load.ts";
import { type BenchResult, describeMachine, fsyncP50Ms, randomFrom, round, textOf } from "./shape.ts";

const LOAD_SHARE = 0.9;
/** Jobs put in line to see how fast they are done, and the share of them at which that is known. */
const BACKLOG_SECONDS = 4;
const BACKLOG_LEFT = 0.2;
/** Compiled code and first connections are no idle cost. */
const IDLE_SETTLING_SECONDS = 8;
const POOL = "default";
/** A pool that no pump serves. */
const UNSERVED = "unserved";

export async function benchPump(options: PumpBenchOptions): Promise<BenchResult> {
  const fsync = fsyncP50Ms(options.folder);
  const alone = await measureAlone(options);
  const idle = await measureIdle(options);
  const busy = await measureBusy(options);
  const bare = await measureBare(options, LOAD_SHARE * (busy.jobsPerSecondAtMost ?? 0));
  const together = await measureTogether(options);
  return resultOf(options, fsync, { ...idle, ...alone, ...busy, ...together }, bare);
}

/** As many slots, all of one worker: how much of a job's cost is that processes are woken for few jobs at a time. */
async function measureTogether(options: PumpBenchOptions): Promise<Record<string, number>> {
  const { workers, slots } = options;
  if (workers === 1) return {};
  const busy = await measureBusy({ ...options, workers: 1, slots: workers * slots });
  return Object.fromEntries(
    ALSO_TOGETHER.map((name) => [`oneWorker${name[0]?.toUpperCase()}${name.slice(1)}`, busy[name] ?? 0]),
  );
}
const ALSO_TOGETHER = [
  "pullsPerJob",
  "cpuMsPerJob",
  "cpuTakingMsPerJob",
  "cpuWorkersMsPerJob",
  "jobsPerSecond",
] as const;

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
    config: () => {
      const pool = { models: [{ name: "echo", provider: "echo" as const, concurrency: slots }] };
      return { pools: { [POOL]: pool, ...(workerPart === "pump" ? { [UNSERVED]: pool } : {}) }, shards: 1 };
    },
  });
}

async function measureAlone(options: PumpBenchOptions): Promise<Record<string, number>> {
  const seconds = options.seconds * SHORT_SHARE;
  const deployed = await deploy(options, "worker", 0);
  try {
    options.say(`a server without workers for ${seconds} s`);
    await pause(IDLE_SETTLING_SECONDS);
    const { natsServer, tookMs } = await spentIn(deployed, () => pause(seconds));
    return { idleNatsAloneCoreShare: round(natsServer / tookMs, 4) };
  } finally {
    await deployed.stop();
  }
}

async function measureIdle(options: PumpBenchOptions): Promise<Record<string, number>> {
  const { seconds, idleWorkers, say } = options;
  const deployed = await deploy(options, "worker", idleWorkers);
  try {
    say(`${idleWorkers} workers wait for ${seconds} s`);
    await pause(IDLE_SETTLING_SECONDS);
    const { workers, natsServer, tookMs } = await spentIn(deployed, () => pause(seconds));
    return {
      idleCoreShare: round((workers + natsServer) / tookMs, 4),
      idleWorkersCoreShare: round(workers / tookMs, 4),
      idleNatsCoreShare: round(natsServer / tookMs, 4),
      idleCoreShareOfAWorker: round((workers + natsServer) / tookMs / idleWorkers, 5),
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
    const counts = { made: 0, jobs: 0, refused: 0 };
    const send = async (pool = POOL): Promise<void> => {
      const job = jobOf(counts.made++, question, pool);
      // What was not stored is not done either.
      await bus.append(inferSubject(job), encode(job), { id: job.id }).then(
        () => void counts.jobs++,
        () => void counts.refused++,
      );
    };
    const capacity = await capacityOf(bus, (slots * workers * 1_000) / modelMs, send);
    const perSecond = LOAD_SHARE * capacity;
    say(
      `${workers} pumps of ${slots} slots do ${round(capacity)} jobs/s; ${round(perSecond)} jobs/s for ${seconds} s`,
    );
    const playFor = (forSeconds: number, pool = POOL): Promise<void> =>
      play(random, perSecond, forSeconds, () => send(pool));
    /** Done, not sent: pumps that fall behind must not look cheap. */
    const doneIn = async (during: () => Promise<void>): Promise<number> => {
      const [sent, left] = [counts.jobs, await storedIn(bus)];
      await during();
      return counts.jobs - sent - ((await storedIn(bus)) - left);
    };
    await playFor(BUSY_SETTLING_SECONDS);
    let spent = { workers: 0, natsServer: 0, client: 0, tookMs: 0 };
    const jobs = await doneIn(async () => {
      spent = await spentIn(deployed, () => playFor(seconds));
    });
    const left = await storedIn(bus);
    // Apart from the CPU, of which a copy of every request would be a part.
    const messages = await countMessages(
      bus,
      (during) => doneIn(during),
      () => playFor(seconds * SHORT_SHARE),
    );
    const storing = await storingMs(
      deployed,
      () => playFor(seconds * SHORT_SHARE, UNSERVED),
      () => counts.jobs,
    );
    return {
      ...messages,
      ...cpuFigures(spent, jobs, storing),
      jobsPerSecondAtMost: round(capacity, 1),
      jobsPerSecond: round((jobs * 1_000) / spent.tookMs, 1),
      jobsLeft: left,
      jobsRefused: counts.refused,
    };
  } finally {
    await deployed.stop();
  }
}

/** What pumps send: requests, alone or in one message with an acknowledgement, and acknowledgements. */
async function countMessages(
  bus: Bus,
  doneIn: (during: () => Promise<void>) => Promise<number>,
  play: () => Promise<void>,
): Promise<Record<string, number>> {
  const counts = { pulls: 0, messages: 0 };
  const stream = inferStream(POOL);
  const listening = [
    bus.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${stream}.>`, () => {
      counts.pulls++;
      counts.messages++;
    }),
    bus.subscribe(`$JS.ACK.${stream}.>`, ({ data }) => {
      if (decoder.decode(data.subarray(0, NEXT.length)) === NEXT) counts.pulls++;
      counts.messages++;
    }),
  ];
  await bus.flush();
  const jobs = await doneIn(play);
  for (const each of listening) each.stop();
  return { pullsPerJob: round(counts.pulls / jobs), sentPerJob: round(counts.messages / jobs) };
}
/** Begins an acknowledgement that is a request as well. */
const NEXT = "+NXT";
const decoder = new TextDecoder();

const storedIn = async (bus: Bus): Promise<number> => (await streamState(bus, inferStream(POOL))).messages;

/** What the pumps do of a backlog: slots that are between two jobs are no capacity, so the load is a share of this. */
async function capacityOf(bus: Bus, nominal: number, send: () => Promise<void>): Promise<number> {
  await Promise.all(Array.from({ length: Math.ceil(nominal * BACKLOG_SECONDS) }, () => send()));
  const [from, backlog] = [performance.now(), await storedIn(bus)];
  for (;;) {
    await pause(0.05);
    const left = await storedIn(bus);
    if (left <= backlog * BACKLOG_LEFT) {
      const perSecond = ((backlog - left) * 1_000) / (performance.now() - from);
      while ((await storedIn(bus)) > 0) await pause(0.05);
      return Math.min(nominal, perSecond);
    }
  }
}

function unitOf(name: string): string {
  if (name.includes("CoreShare")) return "cores";
  if (name.endsWith("MsPerJob")) return "ms/job";
  if (name.endsWith("PerJob")) return "1/job";
  return /jobsPerSecond/i.test(name) ? "jobs/s" : "jobs";
}

function resultOf(
  options: PumpBenchOptions,
  fsync: number,
  figures: Readonly<Record<string, number>>,
  bare: Readonly<Record<string, number>>,
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
    baselines: Object.fromEntries(
      Object.entries(bare).map(([name, value]) => [
        `barePipeline${name[0]?.toUpperCase()}${name.slice(1)}`,
        value,
      ]),
    ),
  };
}

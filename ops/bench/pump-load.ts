/** What the parts of `bench pump` share: its options, CPU by who used it, jobs at random moments. */
import { JOB_VERSION, type Job } from "#contracts/job.ts";
import { CLASSES } from "#contracts/subjects.ts";
import { poisson } from "./arrivals.ts";
import { type Child, cpuMsOfProcess } from "./children.ts";
import type { Deployed, LoadBench } from "./deployed.ts";
import { round } from "./shape.ts";

export interface PumpBenchOptions extends LoadBench {
  readonly idleWorkers: number;
  readonly workers: number;
  readonly slots: number;
  readonly modelMs: number;
}

export const JOB_BYTES = 2_048;
/** Compiled code is no cost of a job. */
export const BUSY_SETTLING_SECONDS = 8;
/** Parts that hardly vary are measured for a fraction of the time. */
export const SHORT_SHARE = 0.5;

/** Milliseconds of CPU. */
export interface Cpu {
  readonly workers: number;
  readonly natsServer: number;
  /** Of this process, which makes the load. */
  readonly client: number;
}

async function cpuOf({ workers, natsPid }: Deployed): Promise<Cpu> {
  const used = await Promise.all(workers.map((child: Child) => child.usage()));
  const { user, system } = process.cpuUsage();
  return {
    workers: used.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    natsServer: cpuMsOfProcess(natsPid) ?? 0,
    client: (user + system) / 1_000,
  };
}

/** CPU and time of a stretch of the benchmark. */
export async function spentIn(
  deployed: Deployed,
  during: () => Promise<void>,
): Promise<Cpu & { readonly tookMs: number }> {
  const [from, before] = [performance.now(), await cpuOf(deployed)];
  await during();
  const [tookMs, after] = [performance.now() - from, await cpuOf(deployed)];
  return {
    workers: after.workers - before.workers,
    natsServer: after.natsServer - before.natsServer,
    client: after.client - before.client,
    tookMs,
  };
}

export const pause = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1_000));

/** Sends at the moments of a Poisson process; what is sent may still be under way at the end. */
export async function play(
  random: () => number,
  perSecond: number,
  seconds: number,
  send: () => Promise<void>,
): Promise<void> {
  const startedAt = performance.now();
  for (const dueAt of poisson(random, perSecond, 0, seconds * 1_000)) {
    while (performance.now() - startedAt < dueAt) await new Promise((resolve) => setTimeout(resolve, 1));
    void send();
  }
}

/** What the same number of jobs costs where the server does nothing but store them. */
export async function storingMs(
  deployed: Deployed,
  during: () => Promise<void>,
  sent: () => number,
): Promise<number> {
  const before = sent();
  const { natsServer } = await spentIn(deployed, during);
  return natsServer / (sent() - before);
}

/** Of jobs whose storing takes the server so many milliseconds each. */
export function cpuFigures({ workers, natsServer, client }: Cpu, jobs: number, storing: number) {
  const all = (workers + natsServer) / jobs;
  return {
    cpuMsPerJob: round(all),
    cpuTakingMsPerJob: round(all - storing),
    cpuWorkersMsPerJob: round(workers / jobs),
    cpuNatsTakingMsPerJob: round(natsServer / jobs - storing),
    cpuNatsStoringMsPerJob: round(storing),
    cpuClientMsPerJob: round(client / jobs),
  };
}

export function jobOf(n: number, question: string, pool: string): Job {
  const at = Date.now();
  return {
    v: JOB_VERSION,
    id: `pump.${n}`,
    tenant: `tenant-${n % 20}`,
    session: `s${n}`,
    turn: 1,
    step: 0,
    pool,
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

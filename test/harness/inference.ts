// What tests of workers share: a provisioned server, jobs, a worker with its own connection, and an observer of what
// conversations would receive.
import { decode, encode } from "#contracts/codec.ts";
import { configSchema } from "#contracts/config.ts";
import type { Envelope } from "#contracts/envelope.ts";
import { JOB_VERSION, type Job, type JobResult } from "#contracts/job.ts";
import { inferStream, inferSubject, tokensSessionFilter } from "#contracts/subjects.ts";
import type { StreamEvent } from "#contracts/turn.ts";
import { startWorker, type WorkerOptions } from "#ops/compose/worker.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats } from "./nats.ts";
import { waitUntil } from "./wait.ts";

export const silentLog = createLog({ level: process.env.JETCLAW_LOG_LEVEL ?? "silent" });
let jobs = 0;

/** A job as a conversation commits it; every field can be overridden. */
export function jobOf(change: Partial<Job> = {}): Job {
  const id = change.id ?? `conversation.demo.s.${++jobs}.0`;
  const question = change.question ?? "How long does delivery take?";
  return {
    v: JOB_VERSION,
    id,
    tenant: "demo",
    session: `session-${id.replaceAll(".", "-")}`,
    turn: 1,
    step: 0,
    pool: "default",
    cls: "new",
    lane: 0,
    at: Date.now(),
    deadline: Date.now() + 120_000,
    messages: [{ role: "user", content: question }],
    question,
    locale: "en",
    passages: [],
    stream: true,
    ...change,
  };
}

export interface InferenceWorld {
  /** Of its NATS. */
  readonly url: string;
  readonly bus: Bus;
  readonly deployment: Deployment;
  /** Stores a job in its pool's queue. */
  submit(job: Job): Promise<void>;
  /** Results that conversations received so far, in order of arrival. */
  readonly results: readonly Envelope<JobResult>[];
  resultOf(job: Job): Promise<JobResult>;
  /** Everything streamed to a session from now on. */
  follow(job: Job): Promise<StreamEvent[]>;
  /** A worker on a connection of its own. */
  worker(models: unknown[], options?: TestWorkerOptions): Promise<TestWorker>;
  /** Stops its workers; resolves when all queues are empty, whose last acknowledgements may still be on their way. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

export interface TestWorkerOptions extends WorkerOptions {
  readonly pool?: string;
  /** Models of the pools on its fallback list, which the worker does not serve itself. */
  readonly fallback?: Readonly<Record<string, unknown[]>>;
  /** What the configuration says besides its pools. */
  readonly config?: object;
}

export interface TestWorker {
  drain(): Promise<void>;
  stop(): Promise<void>;
}

export async function inferenceWorld(pools: readonly string[]): Promise<InferenceWorld> {
  const nats = await startTestNats();
  const connect = (name: string) => connectBus({ servers: nats.url, name, log: silentLog });
  const bus = await connect("test");
  const deployment = await provision(bus, { pools, shards: 2 });
  const results: Envelope<JobResult>[] = [];
  const running = new Set<TestWorker>();
  let instances = 0;
  bus.subscribe("in.*.conversation.>", ({ data }) => void results.push(decode<Envelope<JobResult>>(data)));
  return {
    url: nats.url,
    bus,
    deployment,
    results,
    async submit(job) {
      await bus.append(inferSubject(job), encode(job), { id: job.id });
    },
    async resultOf(job) {
      const found = await waitUntil(() => results.find(({ body }) => body.job === job.id), {
        what: `the result of ${job.id}`,
      });
      return found.body;
    },
    async follow(job) {
      const events: StreamEvent[] = [];
      bus.subscribe(
        tokensSessionFilter(job.tenant, job.session),
        ({ data }) => void events.push(decode<StreamEvent>(data)),
      );
      await bus.flush();
      return events;
    },
    async worker(models, { pool = "default", fallback = {}, config: rest, ...options } = {}) {
      const instance = `worker-${++instances}`;
      const own = await connect(instance);
      const others = Object.entries(fallback).map(([name, those]) => [name, { models: those }]);
      const config = configSchema.parse({
        ...rest,
        pools: { ...Object.fromEntries(others), [pool]: { models, fallback: Object.keys(fallback) } },
      });
      const role = await startWorker(
        { bus: own, deployment, config, log: silentLog, clock: systemClock, instance },
        { pools: [pool], ...options },
      );
      const worker: TestWorker = {
        drain: () => role.drain(),
        async stop() {
          if (!running.delete(worker)) return;
          await role.stop();
          await own.close();
        },
      };
      running.add(worker);
      return worker;
    },
    async settle() {
      for (const worker of [...running]) await worker.stop();
      for (const pool of pools)
        await waitUntil(async () => (await streamState(bus, inferStream(pool))).messages === 0, {
          what: `an empty queue of ${pool}`,
        });
    },
    async stop() {
      for (const worker of [...running]) await worker.stop();
      await bus.close();
      await nats.stop();
    },
  };
}

/**
 * One side of the benchmark of batching: a server, a worker process, a simulated backend in a process of its own, and a
 * client that puts jobs directly on the queue of the pool and takes their results from the conversations' subjects.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { extname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { decode, encode } from "#contracts/codec.ts";
import { type Config, configSchema } from "#contracts/config.ts";
import { JOB_VERSION, type Job, type JobResult } from "#contracts/job.ts";
import { inferSubject } from "#contracts/subjects.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { createLog } from "#runtime/observe/log.ts";
import { connectTo, provisionFor } from "../compose/open.ts";
import { startChild } from "./children.ts";
import { type Cleanup, startCleanly } from "./cleanup.ts";
import type { PartTask } from "./part.ts";
import { randomFrom, textOf } from "./shape.ts";

export const BATCH_MODES = ["chat-batch", "prompt-array"] as const;

export interface BatchSideOptions {
  readonly natsBin: string;
  readonly folder: string;
  readonly seed: number;
  /** How the worker talks to the backend. */
  readonly mode: (typeof BATCH_MODES)[number] | "concurrent";
  /** Time the backend takes for a single request. */
  readonly modelMs: number;
  readonly maxRequests: number;
  /** Time of a batch of 16, as a multiple of a single request's. */
  readonly batchFactor: number;
  readonly payloads: { readonly jobBytes: number; readonly replyBytes: number };
}

export interface BatchSide {
  /** One job; resolves with its time from the client's publish to the client's sight of the result. */
  job(): Promise<number>;
  /** Sizes of the calls that the backend saw since the last question. */
  callSizes(): Promise<number[]>;
  workerCpuMs(): Promise<number>;
  stop(): Promise<void>;
}

const POOL = "default";
const DEADLINE_MS = 60_000;
const START_LIMIT_MS = 30_000;

export const startBatchSide = (options: BatchSideOptions): Promise<BatchSide> =>
  startCleanly((cleanup) => start(options, cleanup));

async function start(options: BatchSideOptions, cleanup: Cleanup): Promise<BatchSide> {
  const { natsBin: bin, folder: dataDir, payloads } = options;
  const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval: "1s", log: () => {} });
  cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
  cleanup.add(() => server.stop());
  const backend = await startBackend(options);
  cleanup.add(async () => backend.process.kill("SIGTERM"));
  const config = configOf(options, backend.url);
  const bus = await connectTo(server.url, "bench-client", createLog({ level: "warn" }));
  cleanup.add(() => bus.close());
  await provisionFor(bus, config);
  const slots = slotsOf(options);
  const task: PartTask = {
    kind: "part",
    part: "worker",
    natsUrl: server.url,
    config,
    slots,
    modelMs: 0,
    worker: { slots },
  };
  const worker = await startChild(task);
  cleanup.add(() => worker.stop());
  const waiting = new Map<string, (result: JobResult) => void>();
  bus.subscribe("in.*.conversation.>", ({ data }) => {
    const { body } = decode<{ body: JobResult }>(data);
    waiting.get(body.job)?.(body);
    waiting.delete(body.job);
  });
  await bus.flush();
  const question = textOf(Math.max(1, payloads.jobBytes), randomFrom(options.seed));
  let jobs = 0;
  return {
    async job() {
      const job = jobOf(`bench.batch.${++jobs}`, question);
      const from = performance.now();
      const result = new Promise<JobResult>((resolve) => waiting.set(job.id, resolve));
      await bus.append(inferSubject(job), encode(job), { id: job.id });
      const { finish, error } = await result;
      if (finish !== "stop") throw new Error(`a job ended ${finish}: ${error?.detail ?? ""}`);
      return performance.now() - from;
    },
    callSizes: () => backend.callSizes(),
    workerCpuMs: async () => (await worker.usage()).cpuMs,
    stop: () => cleanup.run(),
  };
}

/** The same for both, so that neither has more jobs at hand: a batch at the backend and the next one gathered. */
export const slotsOf = ({ maxRequests }: Pick<BatchSideOptions, "maxRequests">): number => 2 * maxRequests;

function configOf({ mode, maxRequests, ...options }: BatchSideOptions, url: string): Config {
  const batched = mode !== "concurrent";
  const model = {
    name: "simulated",
    baseUrl: `${url}/v1`,
    concurrency: batched ? 1 : slotsOf({ maxRequests, ...options }),
    ...(batched ? { batch: { mode, maxRequests } } : {}),
  };
  return configSchema.parse({ pools: { [POOL]: { models: [model] } }, shards: 1 });
}

/** A backend with one place: what does not travel in a batch is served one by one, as by one busy accelerator. */
async function startBackend({ modelMs, batchFactor, payloads }: BatchSideOptions): Promise<{
  readonly url: string;
  readonly process: ChildProcess;
  callSizes(): Promise<number[]>;
}> {
  const entry = fileURLToPath(new URL(`../simulator/main${extname(import.meta.filename)}`, import.meta.url));
  const flags = {
    port: 0,
    "ttft-ms": modelMs,
    concurrency: 1,
    "batch-factor": batchFactor,
    "reply-bytes": payloads.replyBytes,
  };
  const child = spawn(
    process.execPath,
    [...process.execArgv, entry, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  // A benchmark that ends early leaves no backend behind.
  process.once("exit", () => child.kill("SIGKILL"));
  const url = await firstUrl(child);
  return {
    url,
    process: child,
    async callSizes() {
      const { requests } = (await (await fetch(`${url}/bill`)).json()) as {
        requests: readonly { n: number; batch?: number }[];
      };
      await fetch(`${url}/bill`, { method: "DELETE" });
      return [...new Map(requests.map(({ n, batch }) => [n, batch ?? 1])).values()];
    },
  };
}

function firstUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the simulator did not start")), START_LIMIT_MS);
    child.once("exit", (code) => reject(new Error(`the simulator ended (${code})`)));
    if (!child.stdout) return reject(new Error("the simulator has no output"));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const url = /http:\/\/[^/\s]+/.exec(line)?.[0];
      if (!url) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}

function jobOf(id: string, question: string): Job {
  const at = Date.now();
  return {
    v: JOB_VERSION,
    id,
    tenant: "bench",
    session: id.replaceAll(".", "-"),
    turn: 1,
    step: 0,
    pool: POOL,
    cls: "ongoing",
    lane: 0,
    at,
    deadline: at + DEADLINE_MS,
    messages: [{ role: "user", content: question }],
    question: question.slice(0, 256),
    locale: "en",
    passages: [],
    stream: false,
  };
}

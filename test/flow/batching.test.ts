// Workers that batch, on a real NATS against the simulator: what leaves together, whose text goes where, and that each
// request of a batch is refused, stopped and handed back on its own.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import { attemptOf, type Job } from "#contracts/job.ts";
import { CORE } from "#contracts/subjects.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { type InferenceWorld, inferenceWorld, jobOf, type TestWorker } from "#test/harness/inference.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: InferenceWorld;
let simulator: Simulator;

beforeAll(async () => {
  world = await inferenceWorld(["default"]);
  simulator = await startSimulator();
});
afterAll(async () => {
  await world?.stop();
  await simulator?.close();
});
afterEach(async () => {
  await world.settle();
  simulator.set({ tokensPerSecond: 0, replyBytes: 200, contextTokens: Infinity, errorRate: 0 });
  simulator.set({ hold: undefined });
  simulator.clearBill();
});

type Mode = "chat-batch" | "prompt-array";
const MODES: Mode[] = ["chat-batch", "prompt-array"];

async function work(
  mode: Mode,
  { graceMs, ...change }: { concurrency?: number; graceMs?: number; maxWaitMs?: number } = {},
): Promise<TestWorker> {
  const { concurrency = 1, maxWaitMs = 5_000 } = change;
  const batch = { mode, maxRequests: 4, maxWaitMs };
  const model = { name: "simulated", baseUrl: simulator.baseUrl, concurrency, batch };
  return world.worker([model], { graceMs });
}

/** Calls are answered when the test says so. */
function holdCalls(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  simulator.set({ hold: promise });
  return () => {
    simulator.set({ hold: undefined });
    resolve();
  };
}

/** Jobs that are all stored before a worker takes the first of them. */
async function backlog(count: number, change: (n: number) => Partial<Job> = () => ({})): Promise<Job[]> {
  const jobs = Array.from({ length: count }, (_, n) =>
    jobOf({ question: `question ${n} of many`, ...change(n) }),
  );
  for (const job of jobs) await world.submit(job);
  return jobs;
}

const batchSizes = (): number[] => {
  const sizes = new Map(simulator.bill().map(({ n, batch }) => [n, batch ?? 1]));
  return [...sizes.values()];
};

describe.each(MODES)("%s", (mode) => {
  test("jobs that wait together share calls; each gets its own answer, and the shares are the bill", async () => {
    const jobs = await backlog(8);
    await work(mode);
    for (const job of jobs) {
      const result = await world.resultOf(job);
      expect(result).toMatchObject({ finish: "stop", model: "simulated" });
      expect(result.text).toContain(`Simulated answer to: ${job.question}`);
    }
    expect(batchSizes()).toEqual([4, 4]);
    const results = await Promise.all(jobs.map((job) => world.resultOf(job)));
    for (const kind of ["inputTokens", "outputTokens"] as const)
      expect(results.reduce((sum, { usage }) => sum + usage[kind], 0)).toBe(
        simulator.bill().reduce((sum, line) => sum + line[kind], 0),
      );
    expect(simulator.bill().map(({ job }) => job)).toEqual(jobs.map(({ id }) => id));
  });

  test("a job alone leaves at once, whatever the longest wait", async () => {
    const maxWaitMs = 5_000;
    await work(mode, { maxWaitMs });
    const times: number[] = [];
    for (let n = 0; n < 3; n++) {
      const [job] = (await backlog(1)) as [Job];
      times.push((await world.resultOf(job)).timings.totalMs);
    }
    expect(Math.min(...times)).toBeLessThan(maxWaitMs);
    expect(batchSizes()).toEqual([1, 1, 1]);
  });

  test("while a batch is at the provider, requests gather for the next", async () => {
    const release = holdCalls();
    await work(mode);
    const first = await backlog(1);
    await waitUntil(() => simulator.bill().length === 1, { what: "the first call" });
    const rest = await backlog(4);
    const queue = await WorkQueue.open(world.bus, "default");
    const held = async () => (await queue.depth()).reduce((sum, { inFlight }) => sum + inFlight, 0);
    await waitUntil(async () => (await held()) === 5, { what: "the worker to hold the others" });
    queue.close();
    release();
    for (const job of [...first, ...rest]) expect((await world.resultOf(job)).finish).toBe("stop");
    expect(batchSizes()).toEqual([1, 4]);
  });

  test("a bad request is refused alone", async () => {
    simulator.set({ contextTokens: 100 });
    const long = "word ".repeat(200);
    const jobs = await backlog(4, (n) =>
      n === 2 ? { question: long, messages: [{ role: "user", content: long }] } : {},
    );
    await work(mode);
    for (const [n, job] of jobs.entries()) {
      const result = await world.resultOf(job);
      if (n === 2) expect(result).toMatchObject({ finish: "failed", error: { code: "turn.failed" } });
      else expect(result).toMatchObject({ finish: "stop", attempt: 1 });
      if (n === 2) expect(result.error?.detail).toContain("model.rejected");
    }
    expect(simulator.bill()).toHaveLength(3);
  });

  test("a stop ends one request and leaves the others; when all are stopped the call is cancelled", async () => {
    const release = holdCalls();
    const jobs = await backlog(3);
    await work(mode);
    await waitUntil(() => simulator.bill().length === 3, { what: "the call" });
    const stop = (job: Job): void =>
      world.bus.publish(CORE.control(job.tenant, job.session), encode({ turn: job.turn }));
    const [first, ...others] = jobs as [Job, ...Job[]];
    stop(first);
    expect((await world.resultOf(first)).finish).toBe("stopped");
    release();
    for (const job of others) expect((await world.resultOf(job)).finish).toBe("stop");
    expect(simulator.bill().every(({ outcome }) => outcome === "finished")).toBe(true);

    simulator.clearBill();
    holdCalls();
    const more = await backlog(2);
    await waitUntil(() => simulator.bill().length > 0, { what: "the second call" });
    for (const job of more) stop(job);
    for (const job of more) expect((await world.resultOf(job)).finish).toBe("stopped");
    await waitUntil(() => simulator.bill().every(({ outcome }) => outcome === "aborted"), {
      what: "the provider to see the end",
    });
  });

  test("an error of the whole call is no refusal: it is tried again, and fails each job by name", async () => {
    simulator.set({ errorRate: 1, status: 503 });
    const jobs = await backlog(2, () => ({ deadline: Date.now() + 8_000 }));
    await work(mode);
    for (const job of jobs) expect((await world.resultOf(job)).error?.detail).toContain("503");
  });

  test("a drain hands back what does not end in time, and another worker answers it", async () => {
    const release = holdCalls();
    const jobs = await backlog(3);
    const leaving = await work(mode, { graceMs: 100 });
    await waitUntil(() => simulator.bill().length === 3, { what: "the call" });
    await leaving.drain();
    expect(world.results.some(({ body }) => body.job === jobs[0]?.id)).toBe(false);
    release();
    await work(mode);
    for (const job of jobs)
      expect(await world.resultOf(job)).toMatchObject({ finish: "stop", attempt: attemptOf(2, 0) });
  });
});

test("streams by index reach their own sessions, each in pieces while the batch runs", async () => {
  simulator.set({ tokensPerSecond: 100, replyBytes: 400 });
  const jobs = await backlog(0);
  for (let n = 0; n < 4; n++) jobs.push(jobOf({ question: `for session ${n} alone` }));
  const streams = new Map<Job, Awaited<ReturnType<InferenceWorld["follow"]>>>();
  for (const job of jobs) streams.set(job, await world.follow(job));
  for (const job of jobs) await world.submit(job);
  await work("prompt-array");
  for (const [job, events] of streams) {
    const result = await world.resultOf(job);
    expect(result.text).toContain(job.question);
    expect(result.timings.firstTokenMs).toBeLessThan(result.timings.totalMs);
    expect(events.map(({ text }) => text).join("")).toBe(result.text);
    expect(events.length).toBeGreaterThan(3);
  }
});

test("jobs with other sampling options do not share a call", async () => {
  const jobs = await backlog(4, (n) => ({ temperature: n % 2 === 0 ? 0 : 1 }));
  await work("chat-batch");
  for (const job of jobs) expect((await world.resultOf(job)).finish).toBe("stop");
  expect(batchSizes()).toEqual([2, 2]);
});

// Jobs that nobody waits for by the provider's batch API, on a real NATS against the simulator: what leaves together, what
// it costs, and that whatever happens to a batch, its jobs or its worker, each job is answered and paid for once.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { encode } from "#contracts/codec.ts";
import type { Job } from "#contracts/job.ts";
import {
  BUCKETS,
  batchesKey,
  CORE,
  inferSessionFilter,
  inferStream,
  leftoverKey,
} from "#contracts/subjects.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { purge } from "#runtime/nats/reader.ts";
import { type InferenceWorld, inferenceWorld, jobOf, type TestWorker } from "#test/harness/inference.ts";
import { endWithUs } from "#test/harness/reaping.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: InferenceWorld;
let simulator: Simulator;

beforeAll(async () => {
  world = await inferenceWorld(["default"]);
  simulator = await startSimulator({ batchMs: 300 });
});
afterAll(async () => {
  await world?.stop();
  await simulator?.close();
});
afterEach(async () => {
  await world.settle();
  simulator.set({ batchMs: 300, batchFailRate: 0, batchExpireRate: 0, batchApi: true, filesKept: false });
  simulator.set({ contextTokens: Infinity, batchTokens: Infinity, ttftMs: 0 });
  simulator.clearBill();
});

const PATIENT = { deferredDeadlineMs: 600_000 };
const price = { inputPerMTok: 1_000_000, outputPerMTok: 2_000_000 };
const modelOf = (change: object = {}) => ({
  name: "simulated",
  baseUrl: simulator.baseUrl,
  price,
  // Full batches do not wait; how long a machine takes to gather one is none of these tests' business.
  batch: { mode: "offline", maxRequests: 4, maxWaitMs: 60_000, leastMs: 10_000, ...change },
});

const NOT_FULL = { maxWaitMs: 2_000 };
const work = (change: object = {}): Promise<TestWorker> =>
  world.worker([modelOf(change)], { config: PATIENT });

async function submit(count: number, change: (n: number) => Partial<Job> = () => ({})): Promise<Job[]> {
  const jobs = Array.from({ length: count }, (_, n) =>
    jobOf({
      cls: "deferred",
      deadline: Date.now() + 300_000,
      question: `question ${n} of nobody`,
      ...change(n),
    }),
  );
  for (const job of jobs) await world.submit(job);
  return jobs;
}

const answersTo = (jobs: readonly Job[]) => Promise.all(jobs.map((job) => world.resultOf(job)));
const made = (known: number) => () => simulator.batches().length > known && simulator.batches().at(-1);
const linesOf = (batch: boolean) => simulator.bill().filter((line) => (line.batch !== undefined) === batch);

test("full batches leave at once, the rest after its wait; each job has its answer at half the price", async () => {
  const known = simulator.batches().length;
  const jobs = await submit(6);
  await work(NOT_FULL);
  const results = await answersTo(jobs);
  for (const [n, { text, finish, model, usage, costUsd }] of results.entries()) {
    expect({ finish, model }).toEqual({ finish: "stop", model: "simulated" });
    expect(text).toContain(`Simulated answer to: question ${n} of nobody`);
    expect(costUsd).toBeCloseTo((usage.inputTokens + 2 * usage.outputTokens) / 2);
  }
  expect(linesOf(true).map(({ batch }) => batch)).toEqual([4, 4, 4, 4, 2, 2]);
  for (const { priceShare, outcome } of linesOf(true))
    expect({ priceShare, outcome }).toEqual({ priceShare: 0.5, outcome: "finished" });
  expect(linesOf(false)).toEqual([]);
  expect(simulator.batches().length).toBe(known + 2);
});

test("only who is deferred and has the time goes offline; the others are answered at once", async () => {
  simulator.set({ batchMs: 600_000 });
  await work(NOT_FULL);
  const known = simulator.batches().length;
  const [parked] = await submit(1);
  await waitUntil(made(known), { what: "the batch" });
  // The lanes are free while it is away.
  const others = [
    ...(await submit(2, () => ({ cls: "new" }))),
    ...(await submit(1, () => ({ deadline: Date.now() + 9_500 }))),
  ];
  for (const { finish } of await answersTo(others)) expect(finish).toBe("stop");
  expect(linesOf(false)).toHaveLength(3);
  await purgeOf(parked as Job);
  await cancelled(known);
});

const purgeOf = ({ pool, tenant, session }: Job) =>
  purge(world.bus, inferStream(pool), inferSessionFilter(pool, tenant, session));
/** Its file too: the next test's provider may know of no files, which to a worker means that there is none left. */
const cancelled = (known: number) =>
  waitUntil(
    () => {
      const { status, input_file_id: file = "" } = simulator.batches()[known] ?? {};
      return status === "cancelled" && !simulator.files().includes(file);
    },
    { what: "the batch to be cancelled and its file deleted" },
  );

test("a request that is refused, or not answered in time, is asked alone; the others have their answers", async () => {
  simulator.set({ contextTokens: 100 });
  const long = "word ".repeat(200);
  const jobs = await submit(4, (n) =>
    n === 2 ? { question: long, messages: [{ role: "user", content: long }] } : {},
  );
  await work();
  const results = await answersTo(jobs);
  expect(results.map(({ finish }) => finish)).toEqual(["stop", "stop", "failed", "stop"]);
  expect(results[2]?.error?.detail).toContain("model.rejected");
  expect(linesOf(true).map(({ outcome }) => outcome)).toEqual(["finished", "finished", "error", "finished"]);
  simulator.clearBill();
  simulator.set({ batchExpireRate: 1 });
  const late = await submit(4);
  for (const { finish } of await answersTo(late)) expect(finish).toBe("stop");
  expect(linesOf(true).map(({ outcome }) => outcome)).toEqual(["finished", "finished", "error", "error"]);
  expect(linesOf(false)).toHaveLength(2);
});

test("a batch that fails as a whole is sent once more, then its jobs are asked one by one", async () => {
  simulator.set({ batchFailRate: 1, batchMs: 100 });
  const known = simulator.batches().length;
  const jobs = await submit(4);
  await work();
  for (const { finish } of await answersTo(jobs)) expect(finish).toBe("stop");
  expect(simulator.batches().slice(known)).toHaveLength(2);
  expect(linesOf(false)).toHaveLength(4);
});

test("a provider that takes no more tokens now: a batch waits for those before it, one that is too large goes in halves", async () => {
  const content = "word ".repeat(50);
  const ask = (count: number) => submit(count, () => ({ messages: [{ role: "user", content }] }));
  simulator.set({ batchMs: 1_000, batchTokens: 600 });
  await work(NOT_FULL);
  for (const { finish } of await answersTo(await ask(12))) expect(finish).toBe("stop");
  simulator.set({ batchMs: 300, batchTokens: 130 });
  for (const { finish } of await answersTo(await ask(4))) expect(finish).toBe("stop");
  expect(linesOf(true).filter(({ outcome }) => outcome === "finished")).toHaveLength(16);
  expect(linesOf(false)).toEqual([]);
});

test("a job whose deadline comes near is answered without its batch, and a batch that nobody waits for is cancelled", async () => {
  simulator.set({ batchMs: 600_000 });
  const known = simulator.batches().length;
  const [urgent, stopped] = await submit(2, (n) => (n === 0 ? { deadline: Date.now() + 14_000 } : {}));
  await work(NOT_FULL);
  await waitUntil(made(known), { what: "the batch" });
  expect((await world.resultOf(urgent as Job)).finish).toBe("stop");
  world.bus.publish(CORE.control((stopped as Job).tenant, (stopped as Job).session), encode({ turn: 1 }));
  await purgeOf(stopped as Job);
  await cancelled(known);
  expect(linesOf(false)).toHaveLength(1);
});

test("a provider without a batch API is asked one by one", async () => {
  simulator.set({ batchApi: false });
  await work();
  for (const { finish } of await answersTo(await submit(4))) expect(finish).toBe("stop");
  expect(linesOf(false)).toHaveLength(4);
});

test("a worker that is killed after it has sent a batch: the next one finds it, and it is paid for once", async () => {
  simulator.set({ ttftMs: 600_000, batchMs: 300 });
  const known = simulator.batches().length;
  const jobs = await submit(4);
  const first = await workerProcess();
  await waitUntil(made(known), { what: "the batch" });
  first.kill("SIGKILL");
  await once(first, "exit");
  simulator.set({ ttftMs: 0 });
  await work();
  for (const { finish } of await answersTo(jobs)) expect(finish).toBe("stop");
  expect(simulator.batches().slice(known)).toHaveLength(1);
  expect(linesOf(true)).toHaveLength(4);
  expect(linesOf(false)).toEqual([]);
  // Each was answered once, whoever brought it.
  for (const job of jobs) expect(world.results.filter(({ body }) => body.job === job.id)).toHaveLength(1);
});

test("a worker that is killed while it brings the answers: the next one brings the rest", async () => {
  const known = simulator.batches().length;
  const jobs = await submit(200);
  const before = world.results.length;
  const first = await workerProcess({ maxRequests: 200 });
  await waitUntil(() => world.results.length > before, { what: "the first answer" });
  first.kill("SIGKILL");
  await once(first, "exit");
  await work();
  for (const { finish } of await answersTo(jobs)) expect(finish).toBe("stop");
  expect(simulator.batches().slice(known)).toHaveLength(1);
  expect(linesOf(false)).toEqual([]);
  // One may have been brought twice, under one id.
  expect(new Set(world.results.slice(before).map(({ id }) => id)).size).toBe(jobs.length);
});

test("a worker that was replaced while it sent a batch takes it back: what is paid for is what is written down", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  simulator.set({ hold: promise, batchMs: 60_000 });
  const known = simulator.batches().length;
  const jobs = await submit(4);
  await work();
  await waitUntil(made(known), { what: "the batch" });
  simulator.set({ hold: undefined, batchMs: 300 });
  // Its successor knows of no batch.
  const none = { v: 1, batches: [] };
  await new Kv(world.bus, BUCKETS.batches).put(batchesKey("default", "simulated"), encode(none));
  resolve();
  await cancelled(known);
  await waitUntil(made(known + 1), { what: "the next batch" });
  for (const { finish } of await answersTo(jobs)) expect(finish).toBe("stop");
  expect(linesOf(true).map(({ outcome }) => outcome)).toEqual([
    ...["aborted", "aborted", "aborted", "aborted"],
    ...["finished", "finished", "finished", "finished"],
  ]);
  expect(linesOf(false)).toEqual([]);
});

test("whatever became of its batch: nothing that somebody wrote stays at the provider, which is asked again and again", async () => {
  simulator.set({ filesKept: true });
  await work();
  for (const { finish } of await answersTo(await submit(4))) expect(finish).toBe("stop");
  expect(simulator.files().length).toBeGreaterThan(0);
  simulator.set({ filesKept: false });
  // Also what the tests above have left: batches that were cancelled, replaced, refused and sent twice.
  const kept = () => new Kv(world.bus, BUCKETS.batches).keys(leftoverKey("default", "simulated", "*"));
  await waitUntil(() => simulator.files().length === 0, {
    timeoutMs: 120_000,
    what: "no file to be left",
  }).catch(async (error: Error) => {
    const batches = simulator.batches().map(({ id, status, input_file_id }) => [id, status, input_file_id]);
    throw new Error(`${error.message}: ${JSON.stringify([simulator.files(), await kept(), batches])}`);
  });
  await waitUntil(async () => (await kept()).length === 0, { what: "nothing to be written down of them" });
});

async function workerProcess(change: object = {}): Promise<ChildProcess> {
  const path = fileURLToPath(new URL("../harness/worker-process.ts", import.meta.url));
  const config = { ...PATIENT, pools: { default: { models: [modelOf(change)] } }, shards: 2 };
  const child = fork(path, [world.url, JSON.stringify(config)]);
  if (child.pid !== undefined) endWithUs(child.pid);
  await once(child, "message");
  return child;
}

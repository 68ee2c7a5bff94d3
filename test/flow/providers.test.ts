// Providers that limit, fail, hang, cut and lie, behind workers on a real NATS: every turn is answered by somebody else
// or told in time, nothing is paid for after its deadline, and what a user reads is one answer. What the providers saw is
// read from their bills.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { watchHealth } from "#actors/inference/health.ts";
import type { HealthView } from "#actors/inference/port.ts";
import { attemptOf } from "#contracts/job.ts";
import { DEFAULTS } from "#ops/simulator/options.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { type InferenceWorld, inferenceWorld, jobOf } from "#test/harness/inference.ts";
import { frozenServer, keyedServer } from "#test/harness/providers.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: InferenceWorld;
let health: HealthView;
/** The one that fails, and the one that is asked instead. */
let bad: Simulator;
let good: Simulator;

beforeAll(async () => {
  world = await inferenceWorld(["default", "spare"]);
  health = await watchHealth(world.bus);
  bad = await startSimulator({ answer: () => "the first one says this and that and more" });
  good = await startSimulator({ answer: () => "the second one answers" });
});
afterAll(async () => {
  health?.stop();
  await world?.stop();
  await bad?.close();
  await good?.close();
});
afterEach(async () => {
  await world.settle();
  for (const each of [bad, good]) {
    each.set({ ...DEFAULTS, answer: undefined });
    each.clearBill();
  }
  bad.set({ answer: () => "the first one says this and that and more" });
  good.set({ answer: () => "the second one answers" });
});

const PRICE = { inputPerMTok: 1, outputPerMTok: 2 };
const first = (more: object = {}) => ({ name: "first", baseUrl: bad.baseUrl, price: PRICE, ...more });
const second = () => ({ name: "second", baseUrl: good.baseUrl, price: PRICE });

async function answerOf(job = jobOf()) {
  const events = await world.follow(job);
  await world.submit(job);
  const result = await world.resultOf(job);
  return { job, result, events };
}

describe("a limited provider costs no wait", () => {
  const LIMITED = { errorRate: 1, status: 429, retryAfter: 20 };

  test.each([
    [
      "endpoint",
      () => world.worker([first({ endpoints: [{ baseUrl: bad.baseUrl }, { baseUrl: good.baseUrl }] })]),
    ],
    ["model of the pool", () => world.worker([first(), second()])],
    ["pool of the fallback list", () => world.worker([first()], { fallback: { spare: [second()] } })],
  ])("when another %s is there, and it is left alone for as long as it asked", async (_, start) => {
    bad.set(LIMITED);
    good.set({ ttftMs: 200 });
    await start();
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { result } = await answerOf();
      expect(result).toMatchObject({ finish: "stop", attempt: 1, text: "the second one answers" });
      times.push(result.timings.totalMs - 200);
    }
    times.sort((a, b) => a - b);
    // It asked for twenty seconds.
    expect(times[2]).toBeLessThan(10_000);
    // Affinity may have begun with the good endpoint: then the bad one was not even asked.
    expect(bad.bill().length).toBeLessThanOrEqual(1);
  });

  test("alone, it is asked again when its time has come, and not before", async () => {
    bad.set({ ...LIMITED, retryAfter: 1 });
    await world.worker([first()]);
    const job = jobOf();
    await world.submit(job);
    await waitUntil(() => bad.bill().length === 1, { what: "the first try" });
    bad.set({ errorRate: 0 });
    expect((await world.resultOf(job)).finish).toBe("stop");
    const [one, two, ...more] = bad.bill();
    expect((two?.at ?? 0) - (one?.at ?? 0)).toBeGreaterThanOrEqual(1_000);
    expect(more).toEqual([]);
  });

  test("of several keys of one address, the next one is used", async () => {
    const keys: string[] = [];
    const { server, baseUrl } = await keyedServer(keys);
    const endpoints = ["empty", "refused", "fine"].map((apiKey) => ({ apiKey }));
    await world.worker([{ name: "first", baseUrl, endpoints, concurrency: 8 }]);
    for (let i = 0; i < 8; i++) expect((await answerOf()).result.finish).toBe("stop");
    expect(keys.filter((key) => key === "fine")).toHaveLength(8);
    for (const key of ["empty", "refused"])
      expect(keys.filter((each) => each === key).length).toBeLessThanOrEqual(1);
    server.close();
  });
});

const FAULTS: [string, Parameters<Simulator["set"]>[0], object][] = [
  ["HTTP 500", { errorRate: 1 }, {}],
  ["a hang", { hangRate: 1 }, { firstTokenMs: 300 }],
  ["garbage", { garbageRate: 1 }, {}],
  ["half a stream", { halfStreamRate: 1, tokensPerSecond: 100 }, {}],
  ["a slow drip", { tokensPerSecond: 2, replyBytes: 400 }, { totalMs: 2_200 }],
  ["a stall in mid-answer", { tokensPerSecond: 2 }, { betweenTokensMs: 200 }],
];

describe("a provider that fails", () => {
  test.each(FAULTS)(
    "by %s is followed by the next model, and the user reads one answer",
    async (_, fault, timeouts) => {
      bad.set(fault);
      await world.worker([first({ timeouts }), second()]);
      const { job, result, events } = await answerOf();
      expect(result).toMatchObject({ finish: "stop", model: "second", text: "the second one answers" });
      const spoken = (bad.bill()[0]?.outputTokens ?? 0) > 0;
      expect(events.filter(({ type }) => type === "restart")).toHaveLength(spoken ? 1 : 0);
      const last = events.filter(({ attempt, type }) => attempt === result.attempt && type === "delta");
      expect(last.map(({ text }) => text).join("")).toBe(result.text);
      expect(result).toMatchObject({ attempt: spoken ? 2 : 1, chunks: last.length });
      expect(bad.bill()).toHaveLength(1);
      expect(good.bill()).toMatchObject([{ job: job.id, attempt: result.attempt, outcome: "finished" }]);
    },
  );

  test.each(FAULTS)("alone, by %s, is told, and nothing of it goes on", async (_, fault) => {
    bad.set(fault);
    await world.worker([first({ timeouts: { firstTokenMs: 500, betweenTokensMs: 400 } })]);
    const { result } = await answerOf(jobOf({ deadline: Date.now() + 5_000 }));
    expect(result.finish).toBe("failed");
    await waitUntil(() => bad.bill().every(({ outcome }) => outcome !== "open"), {
      what: "every request to be over",
    });
    expect(bad.bill().length).toBeGreaterThan(0);
    for (const { outcome } of bad.bill()) expect(outcome).not.toBe("finished");
  });

  // Only Linux is known to drop what a full backlog cannot hold.
  test.runIf(process.platform === "linux")(
    "by taking no connection is given up long before the patience for a first token ends",
    async () => {
      const { baseUrl, end } = await frozenServer();
      await world.worker([{ name: "first", baseUrl, timeouts: { connectMs: 500 } }, second()]);
      const { result } = await answerOf();
      end();
      expect(result).toMatchObject({ finish: "stop", model: "second" });
      // The other clocks run for half a minute and more.
      expect(result.timings.totalMs).toBeLessThan(10_000);
    },
  );

  test("in mid-answer leaves a restart, the other's whole answer, and the price of both", async () => {
    bad.set({ halfStreamRate: 1, tokensPerSecond: 50 });
    await world.worker([first(), second()]);
    const { result, events } = await answerOf();
    const kinds = events.map(({ type, attempt, number }) => `${type} ${attempt}.${number}`);
    expect(kinds[0]).toBe("delta 1.1");
    expect(kinds.filter((kind) => kind.startsWith("restart"))).toEqual(["restart 2.0"]);
    expect(kinds.slice(kinds.indexOf("restart 2.0")).every((kind) => / 2\./.test(kind))).toBe(true);
    const [cut] = bad.bill();
    const [whole] = good.bill();
    expect(result.usage.outputTokens).toBeGreaterThan(whole?.outputTokens ?? 0);
    expect(result.usage.outputTokens).toBeLessThanOrEqual(
      (whole?.outputTokens ?? 0) + (cut?.outputTokens ?? 0) + 1,
    );
    expect(result.costUsd).toBeCloseTo((result.usage.inputTokens + 2 * result.usage.outputTokens) / 1e6, 9);
  });

  test("and then a worker that leaves: attempts stay in order, and the request that nobody hears ends", async () => {
    bad.set({ halfStreamRate: 1, tokensPerSecond: 50 });
    good.set({ tokensPerSecond: 20, answer: () => "the second one answers at length ".repeat(100) });
    const leaving = await world.worker([first(), second()]);
    const job = jobOf();
    const events = await world.follow(job);
    await world.submit(job);
    await waitUntil(() => events.some(({ type, attempt }) => type === "delta" && attempt === 2), {
      what: "the second attempt to speak",
    });
    await leaving.stop();
    await world.worker([{ name: "echo", provider: "echo" }], { echo: { chunks: 2 } });
    expect(await world.resultOf(job)).toMatchObject({ finish: "stop", attempt: attemptOf(2, 0) });
    const attempts = events.map(({ attempt }) => attempt);
    expect(attempts).toEqual([...attempts].sort((a, b) => a - b));
    expect(events.filter(({ type }) => type === "restart").map(({ attempt }) => attempt)).toEqual([2, 11]);
    await waitUntil(() => good.bill()[0]?.outcome === "aborted", { what: "the provider to see the end" });
  });

  test("is not asked when too little time is left for an answer", async () => {
    bad.set({ errorRate: 1 });
    await world.worker([first()]);
    const late = jobOf({ deadline: Date.now() + 200 });
    await world.submit(late);
    expect((await world.resultOf(late)).finish).toBe("failed");
    expect(bad.bill()).toEqual([]);
  });
});

describe("a breaker", () => {
  test("opens, spares the provider, is seen by routers, and closes when the provider is back", async () => {
    bad.set({ errorRate: 1 });
    await world.worker([first(), second()]);
    for (let i = 0; i < 6; i++) expect((await answerOf()).result.model).toBe("second");
    // Who takes his time is long enough at it for a probe, and a failed one makes the breaker wait twice as long.
    const at = bad.bill().map((line) => line.at);
    for (let n = 3; n < at.length; n++)
      expect((at[n] as number) - (at[n - 1] as number)).toBeGreaterThanOrEqual(700 * 2 ** (n - 3));
    expect(at.length).toBeGreaterThanOrEqual(3);
    await waitUntil(() => health.of("default", "first")?.breaker === "open", {
      what: "the open breaker to be known",
    });
    expect(health.of("default")).toMatchObject({ breaker: "closed", workers: 1 });
    expect(health.of("default", "first")).toMatchObject({ limit: 0, errorShare: 1 });
    bad.set({ errorRate: 0 });
    await waitUntil(async () => (await answerOf()).result.model === "first", {
      what: "the first model to serve again",
    });
    await waitUntil(() => health.of("default", "first")?.breaker === "closed", {
      what: "the closed breaker to be known",
    });
  });

  test("a worker that leaves takes its word about models with it", async () => {
    const worker = await world.worker([second()]);
    await waitUntil(() => (health.of("default", "second")?.limit ?? 0) > 0, {
      what: "the model to be known",
    });
    await worker.stop();
    await waitUntil(() => (health.of("default", "second")?.limit ?? 0) === 0, {
      what: "its capacity to be gone",
    });
  });
});

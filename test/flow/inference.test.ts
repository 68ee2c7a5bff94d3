// Workers on a real NATS: the order of a backlog, the door bell, stops, providers that fail, jobs that kill or cannot be
// read, and what a drain does with what it holds. What the provider saw is read from the simulator's bill.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Reaper } from "#actors/conversation/reaper.ts";
import { decode, encode } from "#contracts/codec.ts";
import { decodeEnvelope, type Envelope } from "#contracts/envelope.ts";
import { attemptOf, type JobResult } from "#contracts/job.ts";
import {
  BUCKETS,
  CORE,
  DEADLETTER,
  deadLetterFilter,
  inboundStream,
  inferSubject,
} from "#contracts/subjects.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import { systemClock } from "#runtime/clock.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { everyMessage, nextMessage, purge, streamState } from "#runtime/nats/reader.ts";
import { WorkQueue } from "#runtime/nats/work-queue.ts";
import { type InferenceWorld, inferenceWorld, jobOf, silentLog } from "#test/harness/inference.ts";
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
  simulator.set({
    ttftMs: 0,
    tokensPerSecond: 0,
    errorRate: 0,
    hangRate: 0,
    halfStreamRate: 0,
    garbageRate: 0,
    refuseStreamOptions: false,
    cite: false,
  });
  simulator.clearBill();
});

const echo = { name: "echo", provider: "echo" };
const provider = () => ({ name: "simulated", baseUrl: simulator.baseUrl });

/** A consumer may hear of a job a moment after whoever stored it. */
const taken = (queue: WorkQueue, { cls, lane }: ReturnType<typeof jobOf>): Promise<Taken> =>
  waitUntil(
    async () => {
      const messages = await queue.take(cls, lane, 1);
      return messages.length > 0 && messages;
    },
    { what: "a job to be taken" },
  );
type Taken = Awaited<ReturnType<WorkQueue["take"]>>;

describe("order", () => {
  test("a backlog is served ongoing before new before deferred, lane 0 before lane 1", async () => {
    const before = world.results.length;
    const backlog = (["deferred", "new", "ongoing"] as const).flatMap((cls) =>
      ([1, 0] as const).flatMap((lane) => [jobOf({ cls, lane }), jobOf({ cls, lane })]),
    );
    for (const job of backlog) await world.submit(job);
    await world.worker([echo], { slots: 1 });
    await waitUntil(() => world.results.length === before + backlog.length, { what: "every result" });
    const served = world.results.slice(before).map(({ body }) => body.job);
    const wanted = (["ongoing", "new", "deferred"] as const).flatMap((cls) =>
      ([0, 1] as const).flatMap((lane) =>
        backlog.filter((job) => job.cls === cls && job.lane === lane).map(({ id }) => id),
      ),
    );
    expect(served).toEqual(wanted);
  });

  test("the door bell brings a job to an idle worker long before the sweep", async () => {
    await world.worker([echo]);
    const waits: number[] = [];
    for (let i = 0; i < 20; i++) {
      const job = jobOf({ cls: "deferred", lane: 1 });
      await world.submit(job);
      waits.push((await world.resultOf(job)).timings.queuedMs);
    }
    waits.sort((a, b) => a - b);
    expect(waits[10]).toBeLessThan(1_000);
  });
});

describe("a provider that answers", () => {
  test("streams numbered chunks, and the result carries text, usage and the cited document", async () => {
    simulator.set({ tokensPerSecond: 100, replyBytes: 400, cite: true });
    await world.worker([provider()]);
    const passages = [
      {
        collection: "shop",
        document: "delivery-en",
        revision: 7,
        storedAt: 1,
        title: "Delivery",
        text: "1 to 2 working days",
        score: 1,
      },
    ];
    const trace = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` };
    const job = jobOf({ passages, trace });
    const events = await world.follow(job);
    await world.submit(job);
    const result = await world.resultOf(job);
    expect(result).toMatchObject({
      finish: "stop",
      attempt: 1,
      turn: 1,
      model: "simulated",
      chunks: events.length,
    });
    const envelope = world.results.find(({ body }) => body.job === job.id);
    expect(envelope).toMatchObject({ id: `${job.id}.r`, key: job.session, causation: job.id, trace });
    expect(result.text).toContain(job.question);
    expect(result.citations).toMatchObject([{ document: "delivery-en", revision: 7 }]);
    expect(result.usage.outputTokens).toBeGreaterThan(50);
    expect(events.map(({ type, number }) => `${type} ${number}`)).toEqual(
      events.map((_, n) => `delta ${n + 1}`),
    );
    expect(events.map(({ text }) => text).join("")).toBe(result.text);
    expect(events.length).toBeGreaterThan(3);
    expect(simulator.bill()).toMatchObject([{ job: job.id, attempt: 1, outcome: "finished" }]);
  });

  test("publishes no chunks for a job that nobody reads as a stream", async () => {
    await world.worker([provider()]);
    const job = jobOf({ stream: false });
    const events = await world.follow(job);
    await world.submit(job);
    expect((await world.resultOf(job)).chunks).toBe(0);
    expect(events).toEqual([]);
  });

  test("is asked again without stream_options when it refuses them, and usage is estimated", async () => {
    simulator.set({ refuseStreamOptions: true });
    await world.worker([provider()]);
    const job = jobOf();
    await world.submit(job);
    const result = await world.resultOf(job);
    expect(result.finish).toBe("stop");
    expect(result.usage.outputTokens).toBe(Math.ceil(result.text.length / 4));
  });

  test("is told to stop: its request is cancelled and the result keeps what came", async () => {
    simulator.set({ tokensPerSecond: 20, replyBytes: 4_000 });
    await world.worker([provider()]);
    const job = jobOf();
    const events = await world.follow(job);
    await world.submit(job);
    await waitUntil(() => events.length > 2, { what: "some chunks" });
    world.bus.publish(CORE.control(job.tenant, job.session), encode({ turn: 2 }));
    world.bus.publish(CORE.control(job.tenant, job.session), encode({ turn: 1 }));
    const result = await world.resultOf(job);
    expect(result.finish).toBe("stopped");
    expect(result.text.length).toBeGreaterThan(0);
    expect(result.usage.outputTokens).toBeGreaterThan(0);
    expect(events.map(({ text }) => text).join("")).toBe(result.text);
    await waitUntil(() => simulator.bill()[0]?.outcome === "aborted", {
      what: "the provider to see the end",
    });
  });
});

describe("a provider that fails", () => {
  test.each([
    ["HTTP 500", { errorRate: 1 }],
    ["a hang", { hangRate: 1 }],
    ["garbage", { garbageRate: 1 }],
    ["half a stream", { halfStreamRate: 1 }],
  ])("%s ends in a failed result", async (_, faults) => {
    simulator.set(faults);
    await world.worker([provider()]);
    const job = jobOf({ deadline: Date.now() + 5_000 });
    await world.submit(job);
    expect(await world.resultOf(job)).toMatchObject({ finish: "failed", error: { code: "turn.failed" } });
    expect(simulator.bill().every(({ outcome }) => outcome !== "finished")).toBe(true);
  });

  test("before its first token is followed by another model of the pool", async () => {
    simulator.set({ errorRate: 1 });
    await world.worker([provider(), echo]);
    const job = jobOf();
    await world.submit(job);
    expect(await world.resultOf(job)).toMatchObject({ finish: "stop", model: "echo" });
    expect(simulator.bill()).toHaveLength(1);
  });

  test("that refuses the request is not asked twice", async () => {
    simulator.set({ errorRate: 1, status: 400 });
    await world.worker([provider()]);
    const job = jobOf();
    await world.submit(job);
    expect((await world.resultOf(job)).error?.detail).toContain("model.rejected");
    expect(simulator.bill()).toHaveLength(1);
  });

  test("slowly is cut off", async () => {
    simulator.set({ tokensPerSecond: 5, replyBytes: 4_000 });
    await world.worker([provider()]);
    const job = jobOf({ deadline: Date.now() + 2_000 });
    await world.submit(job);
    expect(await world.resultOf(job)).toMatchObject({ finish: "failed", error: { code: "turn.deadline" } });
  });
});

describe("jobs that go wrong", () => {
  test("a job past its deadline is not run", async () => {
    await world.worker([provider()]);
    const job = jobOf({ deadline: Date.now() - 1 });
    await world.submit(job);
    expect(await world.resultOf(job)).toMatchObject({ finish: "failed", error: { code: "turn.deadline" } });
    expect(simulator.bill()).toEqual([]);
  });

  test("bytes that are no job become a dead letter of their session, and the worker lives", async () => {
    await world.worker([echo]);
    const poison = jobOf({ session: "poisoned" });
    const bytes = new TextEncoder().encode("not a job");
    await world.bus.append(inferSubject(poison), bytes);
    const letter = await waitUntil(
      () =>
        nextMessage(world.bus, DEADLETTER, deadLetterFilter({ stream: "INFER-default", key: "poisoned" })),
      { what: "the dead letter" },
    );
    const kept = decode<{ subject: string; bytes: Uint8Array }>(letter.data);
    expect(kept.subject).toBe(inferSubject(poison));
    expect(new Uint8Array(kept.bytes)).toEqual(bytes);
    const job = jobOf();
    await world.submit(job);
    expect((await world.resultOf(job)).finish).toBe("stop");
  });

  test("a worker whose slots are all taken asks for its next job in the message that acknowledges the last", async () => {
    const acks: string[] = [];
    const listening = world.bus.subscribe("$JS.ACK.INFER-default.>", ({ data }) => {
      const word = new TextDecoder().decode(data.subarray(0, 4));
      // On a slow machine a job is held long enough to say that it is alive.
      if (word !== "+WPI") acks.push(word);
    });
    await world.bus.flush();
    const jobs = Array.from({ length: 12 }, () => jobOf({ cls: "ongoing" }));
    for (const job of jobs) await world.submit(job);
    await world.worker([echo], { slots: 4, echo: { delayMs: 50 } });
    for (const job of jobs) expect((await world.resultOf(job)).finish).toBe("stop");
    await waitUntil(() => acks.length === jobs.length, { what: "every acknowledgement" });
    listening.stop();
    expect(new Set(acks)).toEqual(new Set(["+ACK", "+NXT"]));
  });

  test("a job whose worker died comes again under a higher attempt, after a restart event", async () => {
    const job = jobOf();
    const events = await world.follow(job);
    const dead = await WorkQueue.open(world.bus, "default");
    await world.submit(job);
    const [held] = await taken(dead, job);
    const attempt = attemptOf((held?.deliveries ?? 0) + 1, 0);
    dead.close();
    await world.worker([echo], { echo: { chunks: 2 } });
    expect(await world.resultOf(job)).toMatchObject({ attempt, finish: "stop" });
    expect(events[0]).toMatchObject({ type: "restart", attempt, number: 0 });
    expect(events[1]).toMatchObject({ type: "delta", attempt, number: 1 });
  });

  test("a job delivered too often is answered with a failure instead of being run", async () => {
    const job = jobOf();
    const queue = await WorkQueue.open(world.bus, "default");
    await world.submit(job);
    for (let delivery = 1; delivery <= 5; delivery++)
      for (const message of await taken(queue, job)) message.nak();
    await world.bus.flush();
    await world.worker([provider()]);
    expect(await world.resultOf(job)).toMatchObject({
      attempt: attemptOf(6, 0),
      finish: "failed",
      error: { code: "turn.failed" },
    });
    expect(simulator.bill()).toEqual([]);
    queue.close();
  });
});

describe("drain", () => {
  test("finishes what ends within the grace, hands back the rest, takes nothing new", async () => {
    simulator.set({ tokensPerSecond: 20, replyBytes: 4_000 });
    const leaving = await world.worker([provider(), { ...echo, name: "quick" }], {
      graceMs: 6_000,
      echo: { delayMs: 1_000 },
    });
    const quick = jobOf({ model: "quick" });
    const slow = jobOf({ model: "simulated" });
    const queue = await WorkQueue.open(world.bus, "default");
    for (const job of [slow, quick]) await world.submit(job);
    const held = async () => (await queue.depth()).reduce((sum, { inFlight }) => sum + inFlight, 0);
    await waitUntil(async () => (await held()) === 2, { what: "the worker to hold both jobs" });
    await leaving.drain();
    queue.close();
    const finished = await world.resultOf(quick);
    expect(finished).toMatchObject({ attempt: 1, finish: "stop" });
    expect(world.results.some(({ body }) => body.job === slow.id)).toBe(false);
    const late = jobOf();
    await world.submit(late);
    await world.worker([echo]);
    for (const [job, attempt] of [
      [slow, attemptOf(2, 0)],
      [late, 1],
    ] as const) {
      const result = await world.resultOf(job);
      expect(result).toMatchObject({ attempt, finish: "stop" });
      expect(result.worker).not.toBe(finished.worker);
    }
    await waitUntil(() => simulator.bill()[0]?.outcome === "aborted", {
      what: "the provider to see the end",
    });
  });

  test("hands back at once what only waits for a model that is down", async () => {
    const down = { name: "down", baseUrl: "http://127.0.0.1:9/v1" };
    const leaving = await world.worker([down], { graceMs: 600_000 });
    const job = jobOf({ deadline: Date.now() + 600_000 });
    const queue = await WorkQueue.open(world.bus, "default");
    await world.submit(job);
    const lanes = async (of: "inFlight" | "waiting") =>
      (await queue.depth()).reduce((sum, lane) => sum + lane[of], 0);
    await waitUntil(async () => (await lanes("inFlight")) === 1, { what: "the job to be held" });
    await leaving.drain();
    queue.close();
    expect(world.results.some(({ body }) => body.job === job.id)).toBe(false);
    await world.worker([echo]);
    expect(await world.resultOf(job)).toMatchObject({ finish: "stop" });
  });

  test("a reaper that stops leaves what else is overdue to the next one", async () => {
    const before = world.results.length;
    const overdue = Array.from({ length: 600 }, () => jobOf({ deadline: Date.now() - 60_000 }));
    await Promise.all(overdue.map((job) => world.submit(job)));
    const { bus } = world;
    const reaper = new Reaper({
      bus,
      clock: systemClock,
      log: silentLog,
      instance: "reaper",
      pools: ["default"],
    });
    reaper.start();
    await waitUntil(() => world.results.length > before, { what: "a job that is closed" });
    await reaper.stop();
    expect((await streamState(bus, "INFER-default")).messages).toBeGreaterThan(0);
    await purge(bus, "INFER-default", "infer.>");
  });

  test("two reapers at once, each of which believes that it holds the lease, say the same under one id", async () => {
    const { bus } = world;
    const reapers = ["one", "other"].map(
      (instance) => new Reaper({ bus, clock: systemClock, log: silentLog, instance, pools: ["default"] }),
    );
    for (const reaper of reapers) reaper.start();
    const overdue: string[] = [];
    const leases = new Kv(bus, BUCKETS.placement);
    const closedBy = (name: string): boolean =>
      world.results.some(({ body }) => body.worker === `reaper ${name}`);
    await waitUntil(
      async () => {
        const left = (await streamState(bus, "INFER-default")).messages;
        const jobs = Array.from({ length: left < 60 ? 60 : 0 }, () =>
          jobOf({ deadline: Date.now() - 60_000 }),
        );
        await Promise.all(jobs.map((job) => world.submit(job)));
        overdue.push(...jobs.map(({ id }) => id));
        await leases.drop("lease.reaper");
        return closedBy("one") && closedBy("other");
      },
      { what: "both to close jobs" },
    );
    await waitUntil(async () => (await streamState(bus, "INFER-default")).messages === 0, {
      what: "all of them to be closed",
    });
    await Promise.all(reapers.map((reaper) => reaper.stop()));
    const ids = new Map<string, Set<string>>(overdue.map((job) => [job, new Set()]));
    for (const shard of [0, 1])
      for await (const { data } of everyMessage(bus, inboundStream(shard), "in.>", {
        batch: 256,
        replicas: 1,
      })) {
        const { id, body } = decodeEnvelope(data) as Envelope<JobResult>;
        ids.get(body.job)?.add(id);
      }
    // An actor takes an id once, whoever it comes from and however often.
    expect([...ids].filter(([job, said]) => [...said].join() !== `${job}.r`)).toEqual([]);
  });
});

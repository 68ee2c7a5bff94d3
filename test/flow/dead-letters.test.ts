// Dead letters as an operator meets them, on a real server: found, read, returned exactly once, dropped.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { DEADLETTER, inboundSubject, inferSubject, routeOf } from "#contracts/subjects.ts";
import { deadLettersOf } from "#ops/compose/dead-letters.ts";
import { deadBytes, deadLetter } from "#runtime/actor/dead-letter.ts";
import type { DeadLetterLine, DeadLetters, ListQuery } from "#runtime/actor/dead-letters.ts";
import { defineActor } from "#runtime/actor/define.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { purge, streamState } from "#runtime/nats/reader.ts";
import { provision } from "#runtime/nats/topology.ts";
import { ActorWorld, type WorldHost } from "#test/harness/actor-world.ts";
import { begun, type CounterState, counter, countersOf, mended } from "#test/harness/counter.ts";
import { messageOf } from "#test/harness/draft.ts";
import { waitUntil } from "#test/harness/wait.ts";

let reads = 0;
/** Reads a bucket that may not be there: to it that looks as a stream without a leader does. */
const reader = defineActor({
  kind: "reader",
  version: 1,
  state: z.object({ seen: z.array(z.string()) }),
  messages: { read: z.object({ name: z.string() }) },
  initial: () => ({ seen: [] as string[] }),
  on: {
    read: async (actor, { name }) => {
      reads++;
      await new Kv(world.bus, "late").getFromLeader("x");
      actor.state.seen.push(name);
    },
  },
});

let world: ActorWorld;
let host: WorldHost;
let dead: DeadLetters;
beforeAll(async () => {
  world = await ActorWorld.start(2);
  host = await world.host([counter, reader]);
  dead = deadLettersOf(world.bus, world.deployment);
});
afterAll(() => world?.stop());

const routeTo = (key: string, kind = "counter") => routeOf({ kind, tenant: "demo", key });
const { seen } = countersOf(() => world);
const seenIs = (key: string, names: readonly string[]) =>
  waitUntil(async () => (await seen(key)).join() === names.join(), {
    what: `${key} to have seen ${names.join()}`,
  });
async function all(query: ListQuery): Promise<DeadLetterLine[]> {
  const letters: DeadLetterLine[] = [];
  for (let from: number | undefined; ; ) {
    const page = await dead.list({ ...query, ...(from ? { from } : {}) });
    letters.push(...page.letters);
    if (page.next === undefined) return letters;
    from = page.next;
  }
}
const letterOf = (key: string) =>
  waitUntil(async () => (await all({ key }))[0], { what: `a dead letter of ${key}` });

describe("a message that its handler cannot do", () => {
  test("is kept with reason, digest and every attempt, and its actor goes on", async () => {
    await world.tell("counter", "read", "flaky", { name: "read" }, "m1");
    await world.tell("counter", "read", "add", { name: "next" });
    const line = await letterOf("read");
    expect(line).toMatchObject({ kind: "counter", tenant: "demo", key: "read", type: "flaky", id: "m1" });
    const letter = await dead.show(line.reference);
    expect(letter).toMatchObject({
      reason: "read is not mended yet",
      digest: expect.stringMatching(/^[0-9a-f]{12}$/),
      envelope: { id: "m1", body: { name: "read" } },
      attempts: Array.from({ length: LIMITS.handlerAttempts }, () => ({
        host: host.instance,
        at: expect.any(Number),
        error: expect.stringContaining("internal.bug"),
      })),
    });
    await seenIs("read", ["next"]);
  });

  test("for want of NATS waits for it, keeps its place, and is no dead letter", async () => {
    for (const name of ["first", "second"]) await world.tell("reader", "waits", "read", { name });
    await waitUntil(() => reads > LIMITS.handlerAttempts + 1, {
      what: "more reads than attempts are allowed",
    });
    await world.bus.jsm.streams.add({ name: "KV_late", subjects: ["$KV.late.>"] });
    await waitUntil(
      async () => (await world.state<CounterState>("reader", "waits"))?.seen.join() === "first,second",
      { what: "both messages to be handled" },
    );
    expect(await all({ key: "waits" })).toEqual([]);
  });

  test("has the digest of its bug, whatever the message says", async () => {
    await world.tell("counter", "digest-a", "flaky", { name: "one" });
    await world.tell("counter", "digest-b", "flaky", { name: "other" });
    await world.tell("counter", "digest-c", "fail", { name: "third" });
    const [a, b, c] = await Promise.all(["digest-a", "digest-b", "digest-c"].map(letterOf));
    expect(a?.digest).toBe(b?.digest);
    expect(a?.digest).not.toBe(c?.digest);
  });

  test("is found by what is known of it", async () => {
    await world.tell("counter", "found", "flaky", { name: "found" });
    const { at } = await letterOf("found");
    expect(await all({ tenant: "demo", key: "found", kind: "counter", sinceAt: at })).toHaveLength(1);
    for (const other of [{ tenant: "other" }, { kind: "basket" }, { sinceAt: at + 1 }, { stream: "INFER-x" }])
      expect(await all({ key: "found", ...other })).toEqual([]);
  });
});

describe("a redrive", () => {
  test("done twice at once is handled once, under the original id", async () => {
    await world.tell("counter", "twice", "flaky", { name: "twice" }, "t1");
    const { reference } = await letterOf("twice");
    mended.add("twice");
    const results = await Promise.allSettled([1, 2, 3].map(() => dead.redrive(reference)));
    expect(results.filter(({ status }) => status === "fulfilled").length).toBeGreaterThanOrEqual(1);
    await seenIs("twice", ["twice"]);
    // Whoever repeats the message itself changes nothing either.
    await world.tell("counter", "twice", "flaky", { name: "twice" }, "t1");
    await world.settled();
    expect(await seen("twice")).toEqual(["twice"]);
    expect(await all({ key: "twice" })).toEqual([]);
  });

  test("that fails again is a letter again, and can be done again", async () => {
    await world.tell("counter", "again", "flaky", { name: "again" }, "a1");
    const { reference } = await letterOf("again");
    expect(await dead.redrive(reference)).toBe("redriven");
    await waitUntil(() => begun.get("again") === 2 * LIMITS.handlerAttempts, {
      what: "the second round of attempts",
    });
    await waitUntil(async () => (await all({ key: "again" }))[0]?.redriven === 1, {
      what: "the second letter",
    });
    mended.add("again");
    expect(await dead.redrive(reference)).toBe("redriven");
    await seenIs("again", ["again"]);
  });

  test("of what was processed after all sends nothing", async () => {
    await world.tell("counter", "late", "add", { name: "done" }, "l1");
    await seenIs("late", ["done"]);
    // As when a host dies between the letter and its commit, and the next one succeeds.
    const reference = await deadLetter(world.bus, {
      stream: "INBOUND-0",
      route: routeTo("late"),
      envelope: messageOf("add", { id: "l1", key: "late", body: { name: "done" } }),
      cause: new Error("for a moment"),
      attempts: [],
      at: 1,
      signal: new AbortController().signal,
    });
    expect(await dead.redrive(reference)).toBe("settled");
    await world.settled();
    expect(await seen("late")).toEqual(["done"]);
  });

  test("of a message to a kind that nobody knew is for the host that knows it", async () => {
    const basket = defineActor({
      kind: "basket",
      version: 1,
      state: z.object({ items: z.number() }),
      messages: { put: z.object({ items: z.number() }) },
      initial: () => ({ items: 0 }),
      on: {
        put: (actor, { items }) => {
          actor.state.items += items;
        },
      },
    });
    await world.tell("basket", "early", "put", { items: 2 }, "p1");
    const { reference } = await letterOf("early");
    await host.leave();
    host = await world.host([counter, basket]);
    await world.balanced(host);
    await Promise.allSettled([dead.redrive(reference), dead.redrive(reference)]);
    await world.settled();
    expect(await world.state("basket", "early")).toEqual({ items: 2 });
  });
});

describe("what is no message", () => {
  test("is shown, not redriven, and dropped", async () => {
    const bytes = new TextEncoder().encode("not an envelope");
    await world.bus.append(inboundSubject(routeTo("bytes")), bytes);
    const { reference, type } = await letterOf("bytes");
    expect(type).toBeUndefined();
    expect(await dead.show(reference)).toMatchObject({ base64: Buffer.from(bytes).toString("base64") });
    await expect(dead.redrive(reference)).rejects.toMatchObject({ code: "dead.unreadable" });
    await dead.remove(reference);
    await expect(dead.show(reference)).rejects.toMatchObject({ code: "dead.not-found" });
  });

  test("is cut where it would not fit, and says so", async () => {
    const data = new Uint8Array(LIMITS.payloadBytes - 8_192);
    const subject = inboundSubject(routeTo("huge"));
    await deadBytes(world.bus, { stream: "INBOUND-0", subject, data }, "too large", 1);
    const { reference } = await letterOf("huge");
    const letter = await dead.show(reference);
    expect(letter).toMatchObject({ cutFrom: data.length });
    await dead.remove(reference);
  });

  test("of a job whose turn is closed stays where it is", async () => {
    const subject = inferSubject({ pool: "default", cls: "new", lane: 0, tenant: "demo", session: "job" });
    await deadBytes(
      world.bus,
      { stream: "INFER-default", subject, data: encode({ v: 1 }) },
      "?",
      1,
      "conversation",
    );
    const line = await letterOf("job");
    await expect(dead.redrive(line.reference)).rejects.toMatchObject({ code: "dead.unreadable" });
  });
});

test("a state at its limit gives messages up one by one, and goes on when there is room again", async () => {
  const key = "full";
  await world.tell("counter", key, "grow", { chars: LIMITS.stateBytes - 600 });
  const ids = Array.from({ length: 3 }, (_, n) => `${n}-${"i".repeat(250)}`);
  for (const id of ids) await world.tell("counter", key, "add", { name: "x".repeat(300) }, id);
  await waitUntil(async () => (await all({ key })).length >= 2, {
    what: "what does not fit to be given up",
  });
  expect((await all({ key })).every(({ reason }) => reason.includes("LIMITS.stateBytes"))).toBe(true);
  await world.tell("counter", key, "clear", {});
  await world.tell("counter", key, "add", { name: "room" });
  await seenIs(key, ["room"]);
});

test("thousands are listed page by page, each once", async () => {
  await purge(world.bus, "DEADLETTER", "dead.>");
  const subject = inboundSubject(routeTo("many"));
  const count = 1_500;
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      deadBytes(world.bus, { stream: "INBOUND-0", subject, data: encode({ n }) }, `reason ${n}`, n + 1),
    ),
  );
  const letters = await all({ key: "many" });
  expect(new Set(letters.map(({ reference }) => reference)).size).toBe(count);
  expect(letters).toHaveLength(count);
});

test("more messages of an unknown kind than a partition parks hold nobody up, whatever becomes of their letters", async () => {
  const own = await ActorWorld.start(1);
  try {
    await own.bus.jsm.streams.delete(DEADLETTER);
    const stranger = routeOf({ kind: "stranger", tenant: "demo", key: "flood" });
    const many = LIMITS.partitionParked + 300;
    const flood = Array.from({ length: many }, (_, n) =>
      own.tell("stranger", "flood", "any", { n }, `stranger-${n}`),
    );
    await Promise.all(flood);
    const behind = Array.from({ length: 2_000 }, (_, n) => `behind-${n}`).find(
      (key) => routeTo(key).partition === stranger.partition,
    ) as string;
    await own.tell("counter", behind, "add", { name: "behind" });
    const { host: slow } = await own.host([counter]);
    await waitUntil(() => slow.receivedOf(stranger.partition) >= LIMITS.partitionParked, {
      what: "as many as are parked",
    });
    await provision(own.bus, { shards: 1, pools: [] });
    await waitUntil(async () => (await own.state<CounterState>("counter", behind)) !== undefined, {
      what: "the message behind them",
    });
    await own.settled();
    expect((await streamState(own.bus, DEADLETTER)).messages).toBe(many);
  } finally {
    await own.stop();
  }
});

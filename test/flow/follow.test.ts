// Followers of a stream when something of it never comes: lost on the way, removed before its turn, or too much at once.
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { follow, keepFollowing } from "#runtime/nats/follow.ts";
import { makePlainStream } from "#runtime/nats/plain-stream.ts";
import { Puller } from "#runtime/nats/pull.ts";
import { messagesFrom, purge, streamState } from "#runtime/nats/reader.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { waitUntil } from "#test/harness/wait.ts";

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  nats = await startTestNats();
  bus = await connectBus({ servers: nats.url, name: "test", log: createLog({ level: "silent" }) });
});
afterAll(async () => {
  await bus?.close();
  await nats?.stop();
});

test("a follower notices that the last message was lost on its way, also when no other one comes", async () => {
  await makePlainStream(bus, { name: "LOST", subjects: ["lost.>"], kind: "log" });
  const heard: string[] = [];
  const follower = await follow(bus, {
    stream: "LOST",
    filter: "lost.>",
    from: "all",
    onMessage: ({ subject }) => void heard.push(subject),
  });
  // For the follower it is the same whether a message goes down with a connection between servers or to somebody else.
  const [consumer] = await bus.jsm.consumers.list("LOST").next();
  const puller = new Puller(bus);
  const taken: string[] = [];
  puller.channel("LOST", consumer?.name ?? "").request({
    batch: 1,
    expiresMs: 30_000,
    onMessage: ({ subject }) => void taken.push(subject),
    onEnd() {},
  });
  for (let n = 1; taken.length === 0; n++) {
    await bus.append(`lost.${n}`, encode({}));
    // The follower may have begun again by now, and have both.
    await waitUntil(() => heard.length + taken.length >= n, { what: `message ${n}` });
  }
  await waitUntil(() => heard.includes(taken[0] as string), { what: "the follower to begin again" });
  expect(heard).toEqual(heard.map((_, n) => `lost.${n + 1}`));
  puller.close();
  await follower.stop();
});

test("a follower has caught up when what was still to come is removed", async () => {
  await makePlainStream(bus, { name: "REMOVED", subjects: ["removed.>"], kind: "log" });
  const many = 600;
  await Promise.all(Array.from({ length: many }, (_, n) => bus.append(`removed.${n}`, encode({}))));
  let seen = 0;
  const gate = Promise.withResolvers<void>();
  const following = follow(bus, {
    stream: "REMOVED",
    filter: "removed.>",
    from: "all",
    onMessage: () => (++seen === 1 ? gate.promise : undefined),
  });
  await waitUntil(() => seen === 1, { what: "the first message" });
  // The second batch is asked for when the first one is handled.
  await purge(bus, "REMOVED", ">");
  gate.resolve();
  const follower = await following;
  expect(seen).toBeLessThan(many);
  await follower.stop();
});

test("who follows meanwhile and is stopped before it has caught up leaves no consumer behind", async () => {
  await makePlainStream(bus, { name: "STOPPED", subjects: ["stopped.>"], kind: "log" });
  await Promise.all(Array.from({ length: 600 }, (_, n) => bus.append(`stopped.${n}`, encode({}))));
  const gate = Promise.withResolvers<void>();
  let seen = 0;
  const options = { stream: "STOPPED", filter: "stopped.>", from: "all" } as const;
  const following = keepFollowing(bus, {
    ...options,
    onMessage: () => (++seen === 1 ? gate.promise : undefined),
  });
  await waitUntil(() => seen === 1, { what: "the first message" });
  following.stop();
  const consumers = async (): Promise<number> => (await streamState(bus, "STOPPED")).consumers;
  await waitUntil(async () => (await consumers()) === 0, { what: "its consumer to go", timeoutMs: 10_000 });
  gate.resolve();
  await waitUntil(() => bus.flush().then(() => true), { what: "what came in with it" });
  expect(seen).toBe(1);
});

test("a follower that is slow holds a few payloads, however large the messages are", async () => {
  await makePlainStream(bus, { name: "LARGE", subjects: ["large.>"], kind: "log" });
  const bytes = 2 ** 20;
  const many = 48;
  const data = new Uint8Array(bytes);
  for (let n = 0; n < many; n++) await bus.append(`large.${n}`, data);
  const before = bus.nc.stats().inBytes;
  let handled = 0;
  let most = 0;
  const follower = await follow(bus, {
    stream: "LARGE",
    filter: "large.>",
    from: "all",
    async onMessage() {
      await new Promise((next) => setTimeout(next, 10));
      most = Math.max(most, bus.nc.stats().inBytes - before - handled * bytes);
      handled++;
    },
  });
  expect(handled).toBe(many);
  expect(most).toBeLessThan(2 * LIMITS.payloadBytes + 2 * bytes);
  await follower.stop();
});

test("a range that was being read when the connection was lost is known to be lost when it is back", async () => {
  const own = await startTestNats();
  const other = await connectBus({ servers: own.url, name: "reads", log: createLog({ level: "silent" }) });
  try {
    await makePlainStream(other, { name: "READ", subjects: ["read.>"], kind: "bucket" });
    await other.append("read.1", encode({}));
    own.freeze();
    const { setTimeout: wait } = globalThis;
    // Its own patience would end it, too.
    const timers = vi
      .spyOn(globalThis, "setTimeout")
      .mockImplementation(((work: () => void) => wait(work, 600_000)) as typeof setTimeout);
    const read = expect(messagesFrom(other, "READ", ">", 1, 16)).rejects.toThrow("the connection was lost");
    timers.mockRestore();
    await new Promise((next) => setImmediate(next));
    await own.kill();
    await own.restart();
    await read;
    expect(await messagesFrom(other, "READ", ">", 1, 16)).toHaveLength(1);
  } finally {
    await other.close();
    await own.stop();
  }
});

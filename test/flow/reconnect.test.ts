// A host whose connection breaks while messages are on their way to it: what the server had sent into the old connection
// is nobody's until its ack wait is over, unless the host asks for it again.
import { afterAll, beforeAll, expect, test } from "vitest";
import { PARTITIONS, shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { inboundStream, partitionConsumer, routeOf } from "#contracts/subjects.ts";
import { Puller } from "#runtime/nats/pull.ts";
import { ActorWorld, type WorldHost } from "#test/harness/actor-world.ts";
import { begun, type CounterState, counter, openGate } from "#test/harness/counter.ts";
import { waitUntil } from "#test/harness/wait.ts";

const KEYS = Array.from({ length: 40 }, (_, n) => `k${n}`);
const ROUNDS = 60;
const BREAKS = new Set([15, 30, 45]);
let world: ActorWorld;
let host: WorldHost;

beforeAll(async () => {
  world = await ActorWorld.start(2);
  host = await world.host([counter]);
});
afterAll(() => world?.stop());

test("every message is processed once and in order, and none waits for its ack wait", async () => {
  const names: string[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    names.push(`m${n}`);
    await Promise.all(KEYS.map((key) => world.tell("counter", key, "add", { name: `m${n}` }, `m${n}`)));
    if (BREAKS.has(n)) void host.bus.nc.reconnect();
  }
  for (const key of KEYS) {
    await waitUntil(async () => (await seenBy(key)).length >= ROUNDS, { what: `${key} to have seen all` });
    expect(await seenBy(key)).toEqual(names);
  }
});

test("where nothing was on its way the partitions are kept: no consumer is made again, and no handler run again", async () => {
  await waitUntil(async () => (await world.waiting()) === 0, { what: "empty queues" });
  await world.tell("counter", "patient", "hold", { name: "patient" }, "patient");
  await waitUntil(() => begun.get("patient") === 1, { what: "the handler" });
  const made = await consumersMade();
  for (let n = 0; n < 3; n++) await reconnected();
  await world.tell("counter", "patient", "add", { name: "next" }, "next");
  openGate("patient");
  await waitUntil(async () => (await seenBy("patient")).length === 2, { what: "both" });
  expect(await seenBy("patient")).toEqual(["patient", "next"]);
  expect(begun.get("patient")).toBe(1);
  expect(await consumersMade()).toEqual(made);
});

test("lost twice before the first loss was looked through, each partition is gone on with once", async () => {
  await waitUntil(async () => (await world.waiting()) === 0, { what: "empty queues" });
  const kept = await Promise.all(
    host.host.partitions.flatMap((partition) => {
      host.host.pause(partition);
      const first = host.host.goOn(partition);
      host.host.pause(partition);
      return [first, host.host.goOn(partition)];
    }),
  );
  expect(kept).toEqual(kept.map(() => true));
  await Promise.all(KEYS.map((key) => world.tell("counter", key, "add", { name: "after" }, "after")));
  for (const key of KEYS) await waitUntil(async () => (await seenBy(key)).at(-1) === "after", { what: key });
});

test("a message whose partition is taken many times by the same process is no poison: its host lives", async () => {
  const { partition } = routeOf({ kind: "counter", tenant: "demo", key: "slow" });
  await world.tell("counter", "slow", "hold", { name: "slow" }, "slow");
  for (let n = 1; n <= LIMITS.handlerAttempts + 2; n++) {
    await waitUntil(() => (begun.get("slow") ?? 0) >= n, { what: `it to be begun ${n} times` });
    const epoch = host.host.epochOf(partition) as number;
    await world.bus.jsm.consumers.delete(
      inboundStream(shardOf(partition, world.deployment.shards)),
      partitionConsumer(partition, epoch),
    );
  }
  openGate("slow");
  await waitUntil(async () => (await seenBy("slow")).includes("slow"), { what: "it to be processed" });
  expect(await world.deadLetters()).toEqual([]);
});

test("a delivery that went to nobody is noticed at the next one, and nothing is lost or overtaken", async () => {
  await waitUntil(async () => (await world.waiting()) === 0, { what: "empty queues" });
  const { partition } = routeOf({ kind: "counter", tenant: "demo", key: "robbed" });
  const stream = inboundStream(shardOf(partition, world.deployment.shards));
  const consumer = partitionConsumer(partition, host.host.epochOf(partition) as number);
  let stolen = 0;
  const thief = new Puller(world.bus).channel(stream, consumer, () => void stolen++);
  // Never acked and never given back, as a message is that went down with a line between two nodes.
  thief.request({ batch: 1, expiresMs: 20_000, onMessage: () => void stolen++, onEnd: () => {} });
  await world.bus.flush();
  const names: string[] = [];
  for (let n = 0; n < 12; n++) {
    names.push(`r${n}`);
    await world.tell("counter", "robbed", "add", { name: `r${n}` }, `r${n}`);
  }
  await waitUntil(async () => (await seenBy("robbed")).length >= names.length, {
    what: "all of them",
  });
  expect(stolen).toBe(1);
  expect(await seenBy("robbed")).toEqual(names);
});

const seenBy = async (key: string): Promise<readonly string[]> =>
  (await world.state<CounterState>("counter", key))?.seen ?? [];

/** Resolves when the host's connection was lost and is back, and its partitions are looked through. */
async function reconnected(): Promise<void> {
  const back = new Promise<void>((resolve) => {
    const listener = host.bus.onReconnect(() => {
      listener.stop();
      resolve();
    });
  });
  void host.bus.nc.reconnect();
  await back;
  await waitUntil(() => host.host.partitions.length === PARTITIONS, { what: "all partitions to be held" });
}

/** When each partition's consumer was made. */
async function consumersMade(): Promise<Record<string, string>> {
  const made: Record<string, string> = {};
  for (let shard = 0; shard < world.deployment.shards; shard++)
    for await (const { name, created } of world.bus.jsm.consumers.list(inboundStream(shard)))
      made[name] = created;
  return made;
}

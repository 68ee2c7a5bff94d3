// Hosts that come, go, vanish and misbehave: who owns what, how fast it is taken over, and that nothing of an actor is
// lost or done twice on the way.
import { afterEach, describe, expect, test } from "vitest";
import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  BUCKETS,
  bucketStream,
  inboundFilter,
  inboundStream,
  partitionConsumer,
  routeOf,
} from "#contracts/subjects.ts";
import type { Unsafe } from "#runtime/actor/host.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { provision } from "#runtime/nats/topology.ts";
import { installKillPoints, type KillPoint } from "#runtime/observe/kill-point.ts";
import { PLACEMENT_KEY } from "#runtime/placement/document.ts";
import { ActorWorld, type WorldHost } from "#test/harness/actor-world.ts";
import { begun, counter, countersOf, openGate } from "#test/harness/counter.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: ActorWorld;
afterEach(async () => {
  installKillPoints(undefined);
  await world?.stop();
});

const { tell, seen, seenWhen } = countersOf(() => world);
const ownersOf = ({ placement }: WorldHost) =>
  placement.document.partitions.map(({ owner, epoch }) => ({ owner, epoch }));

/** Holds the first handler that comes to a step. */
function holdAt(point: KillPoint): { readonly reached: () => boolean; readonly release: () => void } {
  let held = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  installKillPoints((name) => {
    if (name !== point || held) return undefined;
    held = true;
    return promise;
  });
  return { reached: () => held, release: resolve };
}

describe.each([2, 4])("%i shards", (shards) => {
  test("hosts share the partitions evenly; who joins gets its share, who vanishes is replaced in seconds", async () => {
    world = await ActorWorld.start(shards);
    const first = await world.host([counter]);
    await world.balanced(first);
    const second = await world.host([counter]);
    await world.balanced(first, second);
    const before = ownersOf(first);
    const third = await world.host([counter]);
    await waitUntil(
      () =>
        [first, second, third].every(
          ({ host }) => host.partitions.length >= 21 && host.partitions.length <= 22,
        ),
      { what: "three equal shares" },
    );
    const shared = ownersOf(first);
    for (const [p, { owner, epoch }] of shared.entries()) {
      const old = before[p] as (typeof shared)[number];
      expect(epoch).toBe(owner === old.owner ? old.epoch : old.epoch + 1);
      if (owner !== old.owner) expect(owner).toBe(third.instance);
    }

    const keys = Array.from({ length: 64 }, (_, n) => `left-${n}`);
    await Promise.all(keys.map((key) => tell(key, "add", { name: "before" })));
    for (const key of keys) await tell(key, "later", { timer: "t", afterMs: 1_000, name: "timer" });
    await third.kill();
    await Promise.all(keys.map((key) => tell(key, "add", { name: "after" })));
    await waitUntil(() => first.host.partitions.length + second.host.partitions.length === shared.length, {
      what: "the partitions of the vanished host",
    });
    await world.settled();
    for (const key of keys) {
      const names = await seen(key);
      expect([...names].toSorted()).toEqual(["after", "before", "timer"]);
      expect(names.indexOf("before")).toBeLessThan(names.indexOf("after"));
    }
    for (const [p, { owner, epoch }] of ownersOf(first).entries()) {
      const old = shared[p] as (typeof shared)[number];
      if (old.owner === third.instance) expect(epoch).toBeGreaterThan(old.epoch);
      else expect({ owner, epoch }).toEqual(old);
    }
  });

  test("a host that drains hands over under load without losing, doubling or reordering anything", async () => {
    world = await ActorWorld.start(shards);
    const staying = await world.host([counter]);
    const leaving = await world.host([counter]);
    await world.balanced(staying, leaving);
    const keys = Array.from({ length: 20 }, (_, n) => `busy-${n}`);
    const wanted = Array.from({ length: 30 }, (_, n) => `m${n}`);
    let sent = 0;
    const load = Promise.all(
      keys.map(async (key) => {
        for (const name of wanted) {
          await tell(key, "add", { name }, name);
          sent++;
        }
      }),
    );
    await waitUntil(() => sent > 100, { what: "some load" });
    await leaving.leave();
    await load;
    await world.settled();
    for (const key of keys) expect(await seen(key)).toEqual(wanted);
    expect(staying.host.partitions).toHaveLength(64);
  });
});

test("a placement document that was lost and begun anew leaves no partition to consumers of its former epochs", async () => {
  world = await ActorWorld.start(2);
  const [partition, epoch] = [routeOf({ kind: "counter", tenant: "demo", key: "k" }).partition, 57];
  await world.bus.jsm.consumers.add(inboundStream(shardOf(partition, 2)), {
    durable_name: partitionConsumer(partition, epoch),
    filter_subject: inboundFilter(partition),
    ack_policy: "explicit",
  });
  const host = await world.host([counter]);
  await tell("k", "add", { name: "first" });
  expect(await seenWhen("k", 1)).toEqual(["first"]);
  expect(host.host.epochOf(partition)).toBe(epoch + 1);
});

test("a placement document that went back under running hosts, as in a power cut, is followed from there", async () => {
  world = await ActorWorld.start(2);
  const kv = new Kv(world.bus, BUCKETS.placement);
  // Leases are in this bucket too, and renewed all day.
  for (let n = 0; n < 200; n++) await kv.put("lease.test", new Uint8Array([n]));
  const [staying, dying] = [await world.host([counter]), await world.host([counter])];
  await world.balanced(staying, dying);
  const { value } = await kv.getFromLeader(PLACEMENT_KEY);
  await world.bus.jsm.streams.delete(bucketStream(BUCKETS.placement));
  await provision(world.bus, { pools: [] });
  await kv.put(PLACEMENT_KEY, value as Uint8Array);
  await dying.kill();
  await world.balanced(staying);
  const keys = Array.from({ length: 64 }, (_, n) => `back-${n}`);
  await Promise.all(keys.map((key) => tell(key, "add", { name: "after" })));
  for (const key of keys) expect(await seenWhen(key, 1)).toEqual(["after"]);
});

test("a host whose share is no partition is ready to stand by, and takes over from who is missed", async () => {
  world = await ActorWorld.start(2);
  const working = await world.host([counter]);
  await world.balanced(working);
  // As the 65th of equals.
  const standby = await world.host([counter], { weight: 0.001 });
  expect(standby.host.partitions).toEqual([]);
  expect([working, standby].map(({ placement }) => placement.standsBy)).toEqual([false, true]);
  await working.kill();
  await world.balanced(standby);
  await tell("stood-by", "add", { name: "after" });
  expect(await seenWhen("stood-by", 1)).toEqual(["after"]);
  await waitUntil(() => !standby.placement.standsBy, { what: "its share to be all" });
});

test("a host that stops while it takes a partition keeps none", async () => {
  world = await ActorWorld.start(2);
  const [leaving, stopping] = [await world.host([counter]), await world.host([counter])];
  await world.balanced(leaving, stopping);
  const { host, placement } = stopping;
  const take = host.take.bind(host);
  const takes: Promise<void>[] = [];
  host.take = (...given) => {
    const taking = take(...given);
    takes.push(taking);
    return taking;
  };
  const held = holdAt("host.midTakeover");
  await leaving.kill();
  await waitUntil(held.reached, { what: "a partition being taken" });
  placement.stop();
  host.close();
  held.release();
  await Promise.allSettled(takes);
  await new Promise((resolve) => setImmediate(resolve));
  expect(host.partitions).toEqual([]);
});

test("a handler that takes long keeps no drain from ending, and is run again by the next owner", async () => {
  world = await ActorWorld.start(2);
  const staying = await world.host([counter]);
  const leaving = await world.host([counter]);
  await world.balanced(staying, leaving);
  const key = "long";
  const { partition } = routeOf({ kind: "counter", tenant: "demo", key });
  const [owner, other] = leaving.host.partitions.includes(partition)
    ? [leaving, staying]
    : [staying, leaving];
  await tell(key, "hold", { name: "drained" });
  await waitUntil(() => begun.get("drained") === 1, { what: "the handler" });
  await owner.leave();
  await waitUntil(() => begun.get("drained") === 2, { what: "the next owner's run" });
  openGate("drained");
  expect(await seenWhen(key, 1)).toEqual(["drained"]);
  await world.settled();
  expect(await seen(key)).toEqual(["drained"]);
  expect(other.host.partitions).toHaveLength(64);
});

test("a host keeps no more actors in memory than its cap, and those it put away go on where they were", async () => {
  world = await ActorWorld.start(2);
  const residency = 10;
  const { host } = await world.host([counter], { residency });
  const keys = Array.from({ length: 60 }, (_, n) => `many-${n}`);
  for (const name of ["one", "two", "three"]) {
    await Promise.all(keys.map((key) => tell(key, "add", { name })));
    await world.settled();
    await waitUntil(() => host.resident <= residency, { what: "the cap" });
    expect(host.resident).toBe(residency);
  }
  for (const key of keys) expect(await seen(key)).toEqual(["one", "two", "three"]);
});

describe("the protections, each against the fault that it is for", () => {
  async function ringRun(unsafe: Unsafe): Promise<readonly string[]> {
    world = await ActorWorld.start(2);
    await world.host([counter], { unsafe });
    await tell("ring", "add", { name: "once" }, "same");
    await seenWhen("ring", 1);
    await tell("ring", "add", { name: "once" }, "same");
    await world.settled();
    return seen("ring");
  }
  test("with the ring a repeat is dropped", async () => {
    expect(await ringRun({})).toEqual(["once"]);
  });
  test("without the ring a repeat is done twice", async () => {
    expect(await ringRun({ ignoreRing: true })).toEqual(["once", "once"]);
  });

  /** A host dies between the commit and the publishing of what it caused. */
  async function outboxRun(unsafe: Unsafe): Promise<readonly string[]> {
    world = await ActorWorld.start(2);
    const dying = await world.host([counter]);
    const step = holdAt("host.afterCommit");
    await tell("sender", "pass", { to: "receiver", name: "parcel" });
    await waitUntil(() => step.reached(), { what: "the commit" });
    await dying.kill();
    installKillPoints(undefined);
    await world.host([counter], { unsafe });
    await world.settled();
    expect(await seen("sender")).toEqual(["parcel"]);
    return seen("receiver");
  }
  test("with the outbox the next owner sends what was committed", async () => {
    expect(await outboxRun({})).toEqual(["parcel"]);
  });
  test("without the outbox it is lost", async () => {
    expect(await outboxRun({ dropOutbox: true })).toEqual([]);
  });

  /** A host that lost its partitions without noticing finishes what it had begun. */
  async function fenceRun(unsafe: Unsafe): Promise<readonly string[]> {
    world = await ActorWorld.start(2);
    const zombie = await world.host([counter], { unsafe });
    await world.balanced(zombie);
    const step = holdAt("host.afterHandler");
    await tell("fenced", "add", { name: "first" });
    await waitUntil(() => step.reached(), { what: "the handler" });
    // It hears neither of the document nor that its consumers are deleted: only the store can refuse it.
    zombie.placement.stop();
    zombie.host.puller.close();
    await world.host([counter]);
    await seenWhen("fenced", 1);
    await tell("fenced", "add", { name: "second" });
    await seenWhen("fenced", 2);
    const writes = (await world.stateRevisions()) + (unsafe.ignoreFence ? 1 : 0);
    step.release();
    if (unsafe.ignoreFence)
      await waitUntil(async () => (await world.stateRevisions()) >= writes, { what: "the zombie's write" });
    else
      await waitUntil(
        () =>
          !zombie.host.partitions.includes(
            routeOf({ kind: "counter", tenant: "demo", key: "fenced" }).partition,
          ),
        { what: "the zombie to notice" },
      );
    return seen("fenced");
  }
  test("with the fence an owner of yesterday writes nothing", async () => {
    expect(await fenceRun({})).toEqual(["first", "second"]);
  });
  test("a frozen owner that goes on purges nothing that its successor wrote", async () => {
    world = await ActorWorld.start(2);
    const frozen = await world.host([counter]);
    await world.balanced(frozen);
    await tell("cancelled", "later", { timer: "t", afterMs: 600_000, name: "old" });
    await waitUntil(async () => (await world.stateRevisions()) === 1 && (await world.waiting()) === 1, {
      what: "the schedule",
    });
    const step = holdAt("host.afterCommit");
    await tell("cancelled", "forget", { timer: "t" });
    await waitUntil(() => step.reached(), { what: "the commit" });
    frozen.placement.stop();
    frozen.host.puller.close();
    await world.host([counter]);
    await tell("cancelled", "later", { timer: "t", afterMs: 5_000, name: "new" });
    await waitUntil(async () => (await world.stateRevisions()) === 3 && (await world.waiting()) === 1, {
      what: "the successor's schedule",
    });
    step.release();
    await seenWhen("cancelled", 1);
    expect(await seen("cancelled")).toEqual(["new"]);
  });
  test("without the fence it overwrites what its successor wrote", async () => {
    expect(await fenceRun({ ignoreFence: true })).toEqual(["first"]);
  });
});

test("a message that its host never survives is begun a bounded number of times, while others go on", async () => {
  world = await ActorWorld.start(2);
  const name = "killer";
  // An id that is also a property of every object must not hide the count of attempts.
  await tell("victim", "hold", { name }, "constructor");
  for (let deaths = 1; ; deaths++) {
    const host = await world.host([counter]);
    const letters = await waitUntil(
      async () => {
        const found = await world.deadLetters();
        return (found.length > 0 || begun.get(name) === deaths) && found;
      },
      { what: `attempt ${deaths}` },
    );
    await tell("innocent", "add", { name: `${deaths}` });
    await seenWhen("innocent", deaths);
    if (letters.length > 0) break;
    expect(deaths).toBeLessThanOrEqual(LIMITS.handlerAttempts + 1);
    await host.kill();
  }
  expect(await world.deadLetters()).toMatchObject([
    { id: "constructor", reason: "begun 5 times, never finished" },
  ]);
  await tell("victim", "add", { name: "next" });
  expect(await seenWhen("victim", 1)).toEqual(["next"]);
});

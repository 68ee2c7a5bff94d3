// A rolling deploy: two builds of one kind side by side on one deployment, and states of either version in the store.
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { partitionOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { routeOf } from "#contracts/subjects.ts";
import { defineActor } from "#runtime/actor/define.ts";
import { ActorMailer } from "#runtime/actor/mailer.ts";
import { systemClock } from "#runtime/clock.ts";
import { ActorWorld } from "#test/harness/actor-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: ActorWorld;
afterEach(() => world?.stop());

interface Versioned {
  readonly seen: readonly string[];
  readonly marked?: boolean;
}
const state = z.object({ seen: z.array(z.string()) });
/** One build: version 2 adds a field and upgrades what version 1 wrote. */
const build = (version: 1 | 2) =>
  defineActor({
    kind: "versioned",
    version,
    state: version === 1 ? state : state.extend({ marked: z.boolean() }),
    messages: { add: z.object({ name: z.string() }) },
    initial: () => ({ seen: [], marked: true }),
    upgrades: { 1: (old) => ({ ...(old as object), marked: true }) },
    on: { add: (actor, { name }) => void actor.state.seen.push(`${name} by ${version}`) },
  });
const tell = (key: string, name: string) => world.tell("versioned", key, "add", { name });
const stateOf = (key: string) => world.state<Versioned>("versioned", key);
const seenOf = async (key: string) => (await stateOf(key))?.seen ?? [];

/** Keys of one partition, so that what one of them waits for can be in the way of the others. */
function keysOf(partition: number, count: number): string[] {
  const keys: string[] = [];
  for (let n = 0; keys.length < count; n++)
    if (partitionOf("versioned", "demo", `k${n}`) === partition) keys.push(`k${n}`);
  return keys;
}

describe("a state that newer code has written", () => {
  test("is left alone by older code, keeps nobody of its partition waiting, and its messages wait for who knows it", async () => {
    world = await ActorWorld.start(2);
    const [newKey, otherKey, ...rest] = keysOf(7, 6) as [string, string, ...string[]];
    const ahead = [newKey, otherKey, ...rest.slice(0, 3)];
    const newer = await world.host([build(2)]);
    for (const key of ahead) await tell(key, "first");
    await world.settled();
    await newer.leave();
    const older = await world.host([build(1)]);
    await world.balanced(older);
    // Together more than a host holds of one partition.
    const each = Math.ceil(LIMITS.partitionInFlight / ahead.length) + 40;
    const waiting = Array.from({ length: each }, (_, n) => `m${n}`);
    await Promise.all(
      ahead.map(async (key) => {
        for (const name of waiting) await tell(key, name);
      }),
    );
    const free = rest[3] as string;
    await tell(free, "in time");
    await waitUntil(async () => (await seenOf(free)).length === 1, {
      what: "an actor of the same partition to go on",
    });
    expect(older.host.held).toBe(0);
    for (const key of ahead) expect(await seenOf(key)).toEqual(["first by 2"]);
    const mail = new ActorMailer({
      bus: world.bus,
      clock: systemClock,
      deployment: world.deployment,
      kinds: [build(1)],
    });
    await expect(mail.view("versioned", "demo", newKey)).rejects.toMatchObject({
      code: "actor.state-newer",
      detail: expect.stringContaining("version 2, this code knows 1"),
    });

    const again = await world.host([build(2)]);
    await older.leave();
    await world.settled();
    for (const key of ahead)
      expect(await seenOf(key)).toEqual(["first", ...waiting].map((name) => `${name} by 2`));
    expect(again.host.partitions).toHaveLength(64);
    expect(await world.deadLetters()).toEqual([]);
  });
});

test("old states are upgraded where newer code meets them, while old code goes on with its own", async () => {
  world = await ActorWorld.start(2);
  const keys = Array.from({ length: 40 }, (_, n) => `side-${n}`);
  const older = await world.host([build(1)]);
  for (const key of keys) await tell(key, "one");
  await world.settled();
  const newer = await world.host([build(2)]);
  await world.balanced(older, newer);
  for (const key of keys) await tell(key, "two");
  await world.settled();
  const isNewer = (key: string): boolean =>
    newer.host.partitions.includes(routeOf({ kind: "versioned", tenant: "demo", key }).partition);
  expect(keys.some(isNewer) && !keys.every(isNewer)).toBe(true);
  for (const key of keys)
    expect(await stateOf(key)).toEqual(
      isNewer(key) ? { seen: ["one by 1", "two by 2"], marked: true } : { seen: ["one by 1", "two by 1"] },
    );
  await older.leave();
  for (const key of keys) await tell(key, "three");
  await world.settled();
  for (const key of keys) expect((await seenOf(key)).at(-1)).toBe("three by 2");
  expect(await world.deadLetters()).toEqual([]);
});

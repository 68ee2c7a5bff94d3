// A host whose connection breaks while messages are on their way to it: what the server had sent into the old connection
// is nobody's until its ack wait is over, unless the host asks for it again.
import { afterAll, beforeAll, expect, test } from "vitest";
import { PARTITIONS } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
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
  const seen = async (key: string): Promise<readonly string[]> =>
    (await world.state<CounterState>("counter", key))?.seen ?? [];
  for (const key of KEYS) {
    await waitUntil(async () => (await seen(key)).length >= ROUNDS, {
      timeoutMs: 20_000,
      what: `${key} to have seen all`,
    });
    expect(await seen(key)).toEqual(names);
  }
});

test("a message whose handler outlives many reconnects is no poison: its host lives", async () => {
  await world.tell("counter", "slow", "hold", { name: "slow" }, "slow");
  for (let n = 1; n <= LIMITS.handlerAttempts + 2; n++) {
    await waitUntil(() => (begun.get("slow") ?? 0) >= n, {
      timeoutMs: 10_000,
      what: `it to be begun ${n} times`,
    });
    await waitUntil(() => host.host.partitions.length === PARTITIONS, {
      timeoutMs: 10_000,
      what: "all partitions to be held again",
    });
    void host.bus.nc.reconnect();
  }
  openGate("slow");
  await waitUntil(async () => (await world.state<CounterState>("counter", "slow"))?.seen.includes("slow"), {
    timeoutMs: 20_000,
    what: "it to be processed",
  });
});

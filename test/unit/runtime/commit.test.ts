// What a commit does with a store that answers, but does not take the write.
import { expect, test } from "vitest";
import { JetclawError } from "#contracts/errors.ts";
import { routeOf } from "#contracts/subjects.ts";
import { commit, type Loaded, type Owned } from "#runtime/actor/commit.ts";
import { HandlerFailed } from "#runtime/actor/handled.ts";
import type { HostContext } from "#runtime/actor/host.ts";
import { type NextRecord, ProcessedIds } from "#runtime/actor/record.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import { waitUntil } from "#test/harness/wait.ts";

const route = routeOf({ kind: "counter", tenant: "demo", key: "k" });
const next: NextRecord = {
  op: "host.1",
  state: {},
  stateVersion: 1,
  processed: new ProcessedIds(),
  newlyProcessed: ["m1"],
  outbox: [],
  seq: 1,
  timers: {},
  attempts: {},
  givenUp: [],
  floor: 0,
};
const loaded = (): Loaded => ({
  revision: 7,
  record: {
    state: {},
    stateVersion: 1,
    processed: new ProcessedIds(),
    outbox: [],
    seq: 0,
    timers: {},
    attempts: {},
    givenUp: [],
    floor: 0,
  },
});

/** Refuses so many writes at once, as a full store does. */
function refusing(times: number): { host: HostContext; writes: () => number; slept: number[] } {
  let writes = 0;
  const slept: number[] = [];
  const kv = {
    update: async () => {
      if (++writes <= times) throw new JetclawError("nats.unavailable", "insufficient storage resources");
      return 8;
    },
    getFromLeader: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return { key: route.path, value: undefined, revision: 7 };
    },
  };
  const host = {
    log: createLog({ level: "silent" }),
    clock: {
      ...systemClock,
      random: () => 0.5,
      async sleep(ms: number, signal?: AbortSignal) {
        slept.push(ms);
        await new Promise((resolve) => setImmediate(resolve));
        signal?.throwIfAborted();
      },
    },
    deployment: { shards: 1, replicas: 1 },
    unsafe: {},
    kvOf: () => kv,
  };
  return { host: host as unknown as HostContext, writes: () => writes, slept };
}

const owned = (signal: AbortSignal): Owned => ({
  signal,
  draining: signal,
  stillOwned: async () => true,
  lost: () => {},
});

test("a store that refuses at once is asked again after growing waits, until ownership ends", async () => {
  const { host, writes, slept } = refusing(Number.POSITIVE_INFINITY);
  const end = new AbortController();
  const committing = commit(host, route, loaded(), owned(end.signal), next);
  const failed = expect(committing).rejects.toThrow("dropped");
  await waitUntil(() => writes() > 10, { what: "some writes", pollMs: 1 });
  end.abort(new Error("dropped"));
  await failed;
  // No shorter than the one before, and soon as long as it may be.
  expect(slept).toEqual(slept.toSorted((a, b) => a - b));
  expect(slept.at(-1)).toBeGreaterThan(5 * (slept[0] as number));
});

test("a write is taken as soon as the store takes any", async () => {
  const { host, writes } = refusing(2);
  const before = loaded();
  expect(await commit(host, route, before, owned(new AbortController().signal), next)).toBe("committed");
  expect(writes()).toBe(3);
  expect(before.revision).toBe(8);
  expect(before.record.processed.has("m1")).toBe(true);
});

test("a state that cannot be written is the handler's fault, like one that is too large", async () => {
  const { host, writes } = refusing(0);
  const round: { self?: unknown } = {};
  round.self = round;
  for (const state of [2n ** 70n, Symbol("s"), round])
    await expect(
      commit(host, route, loaded(), owned(new AbortController().signal), { ...next, state }),
    ).rejects.toBeInstanceOf(HandlerFailed);
  expect(writes()).toBe(0);
});

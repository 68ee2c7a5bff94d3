// What a commit does with a store that answers, but does not take the write.
import { expect, test } from "vitest";
import { JetclawError } from "#contracts/errors.ts";
import { routeOf } from "#contracts/subjects.ts";
import { commit, type Loaded, type Owned } from "#runtime/actor/commit.ts";
import type { HostContext } from "#runtime/actor/host.ts";
import { type NextRecord, ProcessedIds } from "#runtime/actor/record.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";

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
function refusing(times: number): { host: HostContext; writes: () => number } {
  let writes = 0;
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
    clock: systemClock,
    deployment: { shards: 1, replicas: 1 },
    unsafe: {},
    kvOf: () => kv,
  };
  return { host: host as unknown as HostContext, writes: () => writes };
}

const owned = (signal: AbortSignal): Owned => ({
  signal,
  draining: signal,
  stillOwned: async () => true,
  lost: () => {},
});

test("a store that refuses at once is asked again after growing waits, until ownership ends", async () => {
  const { host, writes } = refusing(Number.POSITIVE_INFINITY);
  const end = new AbortController();
  const committing = commit(host, route, loaded(), owned(end.signal), next);
  setTimeout(() => end.abort(new Error("dropped")), 300);
  await expect(committing).rejects.toThrow("dropped");
  expect(writes()).toBeGreaterThan(1);
  expect(writes()).toBeLessThan(10);
});

test("a write is taken as soon as the store takes any", async () => {
  const { host, writes } = refusing(2);
  const before = loaded();
  expect(await commit(host, route, before, owned(new AbortController().signal), next)).toBe("committed");
  expect(writes()).toBe(3);
  expect(before.revision).toBe(8);
  expect(before.record.processed.has("m1")).toBe(true);
});

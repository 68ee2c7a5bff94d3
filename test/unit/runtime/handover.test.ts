// What an owner says of a partition that it gives away, and that it serves one that it cannot give away.
import { afterEach, expect, test, vi } from "vitest";
import { JetclawError } from "#contracts/errors.ts";
import { systemClock } from "#runtime/clock.ts";
import { createLog } from "#runtime/observe/log.ts";
import type { Assignment, PlacementDocument } from "#runtime/placement/document.ts";
import { Handover, type HandoverOptions } from "#runtime/placement/handover.ts";
import { waitUntil } from "#test/harness/wait.ts";

let passed = 0;
afterEach(() => void vi.restoreAllMocks());

/** A host "me" that holds what `epochs` says, and a store that takes every document or none. */
function ownerOf(
  partitions: readonly Assignment[],
  epochs: readonly (number | undefined)[],
  { takes = true, finished = async (_partition: number): Promise<void> => {} } = {},
) {
  let document: PlacementDocument = { partitions, revision: 1 };
  const released: number[] = [];
  const host = {
    deployment: { shards: 1, replicas: 1 },
    log: createLog({ level: "silent" }),
    clock: {
      ...systemClock,
      async sleep(ms: number) {
        await new Promise((resolve) => setImmediate(resolve));
        passed += ms;
      },
    },
    epochOf: (partition: number) => epochs[partition],
    async release(partition: number) {
      released.push(partition);
      await finished(partition);
      return true;
    },
  };
  const store = {
    async write(revision: number, next: readonly Assignment[]) {
      if (!takes) throw new JetclawError("nats.unavailable");
      return { partitions: next, revision: revision + 1 };
    },
  };
  const handover = new Handover({
    host,
    instance: "me",
    store,
    document: () => document,
    adopt: (next: PlacementDocument) => {
      document = next;
    },
    reread: async () => {},
    load: () => 0,
  } as unknown as HandoverOptions);
  return { handover, released, document: () => document };
}

test("what was never taken is handed on as it came: clean only where the owner before had left it so", async () => {
  const { handover, released, document } = ownerOf(
    [
      { owner: "me", epoch: 3, next: "other" },
      { owner: "me", epoch: 5, next: "other", clean: true },
      { owner: "me", epoch: 7, next: "other" },
    ],
    [undefined, undefined, 7],
  );
  handover.run();
  await waitUntil(() => document().partitions.every(({ owner }) => owner === "other"), {
    what: "the document",
  });
  // A host died of something in the first one: its next owner has to suspect what it finds.
  expect(document().partitions).toEqual([
    { owner: "other", epoch: 4 },
    { owner: "other", epoch: 6, clean: true },
    { owner: "other", epoch: 8, clean: true },
  ]);
  expect(released).toEqual([2]);
});

test("what cannot be handed over is not given away again at once: its owner takes it back and serves it", async () => {
  vi.spyOn(performance, "now").mockImplementation(() => passed);
  const { handover } = ownerOf([{ owner: "me", epoch: 3, next: "other" }], [3], { takes: false });
  handover.run();
  expect(handover.gives(0, 3)).toBe(true);
  await waitUntil(() => !handover.gives(0, 3), { what: "the giving up" });
  await new Promise((resolve) => setImmediate(resolve));
  expect(handover.gives(0, 3)).toBe(false);
});

test("partitions are handed over whatever the moments at which they are finished", async () => {
  const turns = 12;
  for (let first = 0; first < turns; first++)
    for (let second = 0; second < turns; second++) {
      const given = { owner: "me", epoch: 1, next: "other" };
      const { handover, document } = ownerOf([given, given], [1, 1], {
        async finished(partition) {
          for (let n = partition === 0 ? first : second; n > 0; n--) await undefined;
        },
      });
      handover.run();
      // Nothing of this takes longer than a turn of the event loop.
      for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve));
      const owners = document().partitions.map(({ owner }) => owner);
      expect({ first, second, owners }).toEqual({ first, second, owners: ["other", "other"] });
    }
});

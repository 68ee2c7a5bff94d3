// Reading all of a subject where the replica that answers is behind its leader.
import { expect, test } from "vitest";
import type { Bus } from "#runtime/nats/connect.ts";
import { everyMessage } from "#runtime/nats/reader.ts";

const FILTER = "turn.0.*.acme.eva";
const message = (seq: number) => ({ subject: FILTER, data: new Uint8Array([seq]), seq });

/** A stream of `stored` messages, of which the replica that is asked knows the first `known`. */
function streamOf(stored: number, known: number): Bus {
  const from = (seq: number, count: number) =>
    Array.from({ length: Math.max(0, count - seq + 1) }, (_, n) => message(seq + n));
  return {
    jsm: {
      direct: {
        getBatch: async (_: string, { seq, batch }: { seq: number; batch: number }) =>
          from(seq, known)
            .slice(0, batch)
            .map((m) => ({ ...m, time: new Date(0) })),
      },
    },
    leaderGet: async (_: string, { seq }: { seq: number }) =>
      seq <= stored ? { ...message(seq), at: 0, head: "" } : "no-message",
  } as unknown as Bus;
}

async function sequences(bus: Bus, replicas: number, from?: number): Promise<number[]> {
  const read: number[] = [];
  for await (const { seq } of everyMessage(bus, "TURNS-0", FILTER, {
    batch: 4,
    replicas,
    ...(from === undefined ? {} : { from }),
  }))
    read.push(seq);
  return read;
}

test.each([
  ["is behind", 6],
  ["ends with a whole batch", 8],
  ["knows nothing yet", 0],
  ["knows all", 9],
])("a replica that %s: what it misses is read from the leader", async (_, known) => {
  expect(await sequences(streamOf(9, known), 3)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(await sequences(streamOf(9, known), 3, 5)).toEqual([5, 6, 7, 8, 9]);
});

test("a single replica is its own leader, and nobody else is asked", async () => {
  expect(await sequences(streamOf(9, 6), 1)).toEqual([1, 2, 3, 4, 5, 6]);
});

// Reading ranges of a stream: from a replica that is behind its leader, in answers that the server cuts short, and in
// answers of which a part never comes.
import { afterEach, expect, test, vi } from "vitest";
import type { Bus } from "#runtime/nats/connect.ts";
import { everyMessage, messagesFrom } from "#runtime/nats/reader.ts";

const FILTER = "turn.0.*.acme.eva";
const message = (seq: number) => ({ subject: FILTER, data: new Uint8Array([seq]), seq });

interface Behaviour {
  /** Messages that the replica which is asked knows. */
  readonly known: number;
  /** Most messages in one answer. */
  readonly most?: number;
  /** What is sent of an answer. */
  readonly sent?: (answer: readonly object[]) => readonly object[];
}

/** A stream of `stored` messages as it answers requests for several, see ADR-31. */
function streamOf(stored: number, { known, most = 100, sent = (answer) => answer }: Behaviour) {
  const listening = new Map<string, (error: null, message: object) => void>();
  const told = (fields: Readonly<Record<string, string | number>>, code = 0, data = new Uint8Array()) => ({
    data,
    headers: { code, description: "", get: (name: string) => String(fields[name] ?? "") },
  });
  const answerTo = ({ seq, batch }: { seq: number; batch: number }): object[] => {
    const count = Math.min(batch, most, known - seq + 1);
    if (count <= 0) return [told({}, 404)];
    const messages = Array.from({ length: count }, (_, n) =>
      told(
        {
          "Nats-Subject": FILTER,
          "Nats-Sequence": seq + n,
          "Nats-Time-Stamp": "2026-11-26T00:00:00Z",
          "Nats-Last-Sequence": n === 0 ? 0 : seq + n - 1,
        },
        0,
        message(seq + n).data,
      ),
    );
    const last = seq + count - 1;
    return [...messages, told({ "Nats-Last-Sequence": last, "Nats-Num-Pending": known - last }, 204)];
  };
  const bus = {
    inbox: () => `inbox-${listening.size}`,
    guard: (_: string, callback: () => void) => callback(),
    onReconnect: () => ({ stop: () => {} }),
    nc: {
      subscribe(subject: string, { callback }: { callback: (error: null, message: object) => void }) {
        listening.set(subject, callback);
        return { unsubscribe: () => listening.delete(subject) };
      },
      publish(_: string, data: Uint8Array, { reply }: { reply: string }) {
        const answer = sent(answerTo(JSON.parse(Buffer.from(data).toString())));
        queueMicrotask(() => {
          for (const each of answer) listening.get(reply)?.(null, each);
        });
      },
    },
    leaderGet: async (_: string, { seq }: { seq: number }) =>
      seq <= stored ? { ...message(seq), at: 0, head: "" } : "no-message",
  };
  return { bus: bus as unknown as Bus, listening };
}

afterEach(() => {
  vi.useRealTimers();
});

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
  expect(await sequences(streamOf(9, { known }).bus, 3)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(await sequences(streamOf(9, { known }).bus, 3, 5)).toEqual([5, 6, 7, 8, 9]);
});

test("a single replica is its own leader, and nobody else is asked", async () => {
  expect(await sequences(streamOf(9, { known: 6 }).bus, 1)).toEqual([1, 2, 3, 4, 5, 6]);
});

test("answers that the server cuts short are asked on, and nobody listens any more at the end", async () => {
  const { bus, listening } = streamOf(9, { known: 9, most: 2 });
  const read = await messagesFrom(bus, "TURNS-0", FILTER, 2, 7);
  expect(read.map(({ seq, data }) => [seq, data[0]])).toEqual([2, 3, 4, 5, 6, 7, 8].map((n) => [n, n]));
  expect(listening.size).toBe(0);
});

test.each([
  ["from the middle", (answer: readonly object[]) => answer.filter((_, n) => n !== 1)],
  ["from the end", (answer: readonly object[]) => answer.filter((_, n) => n !== answer.length - 2)],
])("an answer that misses a message %s is no answer", async (_, sent) => {
  const { bus, listening } = streamOf(9, { known: 9, sent });
  await expect(messagesFrom(bus, "TURNS-0", FILTER, 1, 5)).rejects.toMatchObject({
    code: "nats.unavailable",
  });
  expect(listening.size).toBe(0);
});

test("an answer that stops in its middle is waited for for a while, not for ever", async () => {
  vi.useFakeTimers();
  const { bus, listening } = streamOf(9, { known: 9, sent: (answer) => answer.slice(0, 2) });
  const read = expect(messagesFrom(bus, "TURNS-0", FILTER, 1, 5)).rejects.toMatchObject({
    code: "nats.unavailable",
  });
  await vi.runAllTimersAsync();
  await read;
  expect(listening.size).toBe(0);
});

// Processes that share a durable reader: what one held that died comes to the others, and nothing is handled by nobody.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { KNOWLEDGE, KNOWLEDGE_BELL, knowledgeFilter, knowledgeSubject } from "#contracts/subjects.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { type DurableReader, type Progress, readDurably } from "#runtime/nats/durable.ts";
import { type Pulled, Puller } from "#runtime/nats/pull.ts";
import { provision } from "#runtime/nats/topology.ts";
import { silentLog } from "#test/harness/knowledge.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";

let nats: TestNats;
let bus: Bus;
const buses: Bus[] = [];
const readers: DurableReader[] = [];

beforeEach(async () => {
  nats = await startTestNats();
  bus = await connect("writer");
  await provision(bus, { shards: 1, pools: [] });
});
afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.stop();
  for (const each of buses.splice(0)) await each.close();
  await nats.stop();
});

async function connect(name: string): Promise<Bus> {
  const connected = await connectBus({ servers: nats.url, name, log: silentLog });
  buses.push(connected);
  return connected;
}

interface Seen {
  readonly bus: Bus;
  readonly messages: Pulled[];
  readonly progress: Progress[];
}

/** A process of its own in all but the process. `holds`: it never finishes what it is given. */
async function readerOf(name: string, holds = false): Promise<Seen> {
  const seen: Seen = { bus: await connect(name), messages: [], progress: [] };
  const reader = await readDurably(seen.bus, {
    stream: KNOWLEDGE,
    name: "shared",
    filter: knowledgeFilter(),
    bell: KNOWLEDGE_BELL.destination,
    inFlight: 4,
    async handle(message) {
      seen.messages.push(message);
      if (holds) await new Promise(() => {});
    },
    onProgress: async (progress) => void seen.progress.push(progress),
  });
  if (!holds) readers.push(reader);
  return seen;
}

const write = async (n: number): Promise<number> =>
  (await bus.append(knowledgeSubject("t", "c", `d${n}`), new Uint8Array([n]))).seq;

/** As when the process is killed: the server sees the connection go. */
const die = (seen: Seen): Promise<void> => seen.bus.nc.close();

const until = (what: string, holds: () => boolean): Promise<unknown> => waitUntil(holds, { what, pollMs: 5 });

test("what a process held that died is given out anew, not after its ack wait, and everybody learns that it is handled", async () => {
  const anew: boolean[] = [];
  for (let round = 1; round <= 5 && !anew.includes(true); round++) {
    const dying = await readerOf("dying", true);
    const seq = await write(round);
    await until("the event to be held", () => dying.messages.length > 0);
    const [one, two] = [await readerOf("one"), await readerOf("two")];
    const also = await write(100 + round);
    await until("the second event", () => [...one.messages, ...two.messages, ...dying.messages].length > 1);
    await die(dying);
    const all = (): Pulled[] => [...one.messages, ...two.messages];
    await until("both events to be handled", () => [seq, also].every((s) => all().some((m) => m.seq === s)));
    // A reset counts deliveries from one again; the ack wait would have made it the second.
    anew.push(all().find((message) => message.seq === seq)?.deliveries === 1);
    for (const { progress } of [one, two])
      await until("both to know", () =>
        progress.some(({ floor, pending }) => floor >= also && pending === 0),
      );
    for (const reader of readers.splice(0)) await reader.stop();
  }
  expect(anew).toContain(true);
});

test("what was held by one who died before anybody else came is given to the next", async () => {
  const dying = await readerOf("dying", true);
  const seq = await write(1);
  await until("the event to be held", () => dying.messages.length > 0);
  await die(dying);
  const next = await readerOf("next");
  await until("the event", () => next.messages.some((message) => message.seq === seq));
  await until("its end", () => next.progress.some(({ floor }) => floor >= seq));
});

test("what is given back at the end is no failure in the log, and comes to the next", async () => {
  const own = await connect("ends");
  const warned = vi.spyOn(own.log, "warn");
  const begun = Promise.withResolvers<void>();
  const away = Promise.withResolvers<void>();
  const reader = await readDurably(own, {
    ...{ stream: KNOWLEDGE, name: "shared", filter: knowledgeFilter(), bell: KNOWLEDGE_BELL.destination },
    inFlight: 4,
    async handle() {
      begun.resolve();
      await away.promise;
    },
    onProgress: async () => {},
  });
  await write(1);
  await begun.promise;
  const stopped = reader.stop();
  away.reject(new Error("nobody answers"));
  await stopped;
  expect(warned).not.toHaveBeenCalled();
  const next = await readerOf("next");
  await waitUntil(() => next.messages.length > 0, { what: "the next one to be given it" });
  vi.restoreAllMocks();
});

test("a process that is slow keeps what it holds", async () => {
  const slow = await readerOf("slow", true);
  const first = await write(1);
  await until("the event to be held", () => slow.messages.length > 0);
  const other = await readerOf("other");
  const still = stillstands();
  await Promise.all([2, 3, 4, 5, 6, 7, 8].map(write));
  // Longer than an ack wait: it says that it works on it.
  await until("others to have looked often", () => other.progress.length > 43);
  // Who cannot say so, because its machine or its server stood still, may lose it.
  if ((await still()) < 1_000) expect(other.messages.map(({ seq }) => seq)).not.toContain(first);
});

test("a reader asks anew as soon as the connection is back, without waiting for what went down with it", async () => {
  // Nobody would ever notice that a request is lost.
  const watch = vi.spyOn(Puller.prototype, "watch").mockImplementation(() => {});
  const reader = await readerOf("reader");
  await write(1);
  await until("the first event", () => reader.messages.length === 1);
  await nats.kill();
  await nats.restart();
  await waitUntil(() => bus.online, { what: "the writer to be back" });
  const seq = await write(2);
  await until("the second event", () => reader.messages.some((message) => message.seq === seq));
  watch.mockRestore();
});

/** @returns what tells the longest time, in ms, in which this process and its server were not both at work */
function stillstands(): () => Promise<number> {
  let longest = 0;
  let going = true;
  const watching = (async () => {
    for (let from = performance.now(); going; from = performance.now()) {
      await bus.flush();
      await pause(20);
      longest = Math.max(longest, performance.now() - from);
    }
  })();
  return async () => {
    going = false;
    await watching;
    return longest;
  };
}

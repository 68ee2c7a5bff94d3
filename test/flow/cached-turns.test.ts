// Turns and caches on real hosts: who is served, what is kept of whom, and what becomes of identical questions at once.
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { originOf } from "#actors/cache/key.ts";
import type { Flight } from "#actors/cache/port.ts";
import { actorsBucket, BUCKETS, routeOf } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { CachedWorld, TENANT } from "#test/harness/cached-world.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: CachedWorld;
let kv: Kv;
beforeAll(async () => {
  world = await CachedWorld.start(3);
  kv = new Kv(world.bus, BUCKETS.cache);
  await world.put("delivery", "Delivery takes three days in all countries of the union.");
  await world.put("payment", "You can pay by bank transfer or card.");
});
afterAll(() => world?.stop());

let sessions = 0;
const session = (): string => `s${++sessions}`;

/** What the bucket holds of the tenant, by the first letter of the keys. */
async function stored(kind: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of kv.entries(`${kind}.${TENANT}.>`)) keys.push(key);
  return keys;
}
const kept = (count: number): Promise<unknown> =>
  waitUntil(async () => (await stored("a")).length === count, { what: `${count} entries` });

describe("a question that stands alone", () => {
  test("is answered from the first answer, on every host, at the start and in the middle of a conversation", async () => {
    const first = await world.ask(session(), "How long does delivery take?");
    expect(first).toMatchObject({ cached: false, outcome: "answered" });
    await kept(1);
    for (let n = 0; n < 6; n++)
      expect(await world.ask(session(), "how long does delivery take")).toMatchObject({
        cached: true,
        cacheLevel: "response",
        reply: first.reply,
      });
    const talk = session();
    await world.ask(talk, "Which payment cards can I use for a bank transfer?");
    expect(await world.ask(talk, "How long does delivery take?")).toMatchObject({ cached: true });
    await kept(2);
  });

  test("is kept after a greeting, and not after anything else was said", async () => {
    const before = (await stored("a")).length;
    const talk = session();
    await world.ask(talk, "Hello!");
    await world.ask(talk, "Does delivery take longer in other countries?");
    await kept(before + 1);
    await world.ask(talk, "How can I pay by card or bank?");
    const fresh = await world.ask(session(), "How can I pay by card or bank?");
    expect(fresh.cached).toBe(false);
    // Of these two the fresh one's answer alone is kept.
    await kept(before + 2);
  });
});

test("what is personal or hangs on what was said reaches the model each time, and the record says why", async () => {
  const before = (await stored("a")).length;
  for (const [text, uncached] of [
    ["Where is my delivery?", "personal"],
    ["Delivery of order 123", "identifier"],
    ["And by card?", "context"],
  ] as const)
    for (let n = 0; n < 2; n++)
      expect(await world.ask(session(), text)).toMatchObject({ cached: false, uncached });
  expect((await stored("a")).length).toBe(before);
});

describe("identical questions at once", () => {
  test("over three hosts are one question to the model, and all are answered", async () => {
    const text = "Which countries does delivery reach in three days?";
    world.model.hold();
    const asked = world.model.asked.length;
    const talks = Array.from({ length: 12 }, session);
    const open = new Set<string>();
    const events = world.bus.subscribe(`tok.${TENANT}.>`, ({ subject }) => void open.add(subject));
    const ids = await Promise.all(talks.map((talk) => world.send(talk, text)));
    await waitUntil(async () => (await stored("f")).length === 1, { what: "a lease" });
    await waitUntil(() => world.model.asked.length > asked, { what: "the one question" });
    // Told with the commit that says who waits: who has only looked up by then would find nobody to wait for.
    await waitUntil(() => open.size === talks.length, { what: "every turn to be open" });
    events.stop();
    world.model.release();
    const records = await Promise.all(talks.map((talk, n) => world.recordOf(talk, ids[n] as string)));
    expect(world.model.asked.length - asked).toBe(1);
    expect(records.filter(({ cached }) => !cached)).toHaveLength(1);
    expect(new Set(records.map(({ reply }) => reply)).size).toBe(1);
    await waitUntil(async () => (await stored("f")).length === 0, { what: "no lease" });
  });

  test("are asked one by one where the answer cannot be kept", async () => {
    const text = "Is delivery possible in three days by card?";
    world.model.reply = () => "I do not know.";
    const talks = Array.from({ length: 4 }, session);
    const ids = await Promise.all(talks.map((talk) => world.send(talk, text)));
    const records = await Promise.all(talks.map((talk, n) => world.recordOf(talk, ids[n] as string)));
    world.model.reply = () => "As the document says [1].";
    expect(records.every(({ cached, outcome }) => !cached && outcome === "answered")).toBe(true);
  });

  test("a turn that waits can be stopped", async () => {
    const text = "In how many days is delivery done in the union?";
    world.model.hold();
    const leader = session();
    const first = await world.send(leader, text);
    const asked = world.model.asked.length;
    await waitUntil(() => world.model.asked.length > asked, { what: "the one question" });
    const waiting = session();
    const second = await world.send(waiting, text);
    await waitUntil(async () => (await world.client.transcript(TENANT, waiting))?.status === "answering", {
      what: "a turn that waits",
    });
    await world.client.stop(TENANT, waiting);
    expect(await world.recordOf(waiting, second)).toMatchObject({ outcome: "stopped" });
    world.model.release();
    expect(await world.recordOf(leader, first)).toMatchObject({ outcome: "answered", cached: false });
    expect(world.model.asked.filter((question) => question === text)).toHaveLength(1);
  });
});

test("a turn whose commit was lost asks again, and does not wait for itself", async () => {
  const text = "How many days may delivery take in the countries of the union?";
  const talk = session();
  await world.ask(talk, "Hello!");
  const { path } = routeOf({ kind: CONVERSATION, tenant: TENANT, key: talk });
  const records = new Kv(world.bus, actorsBucket(0));
  const joined: Flight["kind"][] = [];
  const spies = world.hosts.flatMap(({ retrieval: { cache } }) => {
    if (!cache) return [];
    const join = cache.join.bind(cache);
    return vi.spyOn(cache, "join").mockImplementation(async (...asked) => {
      const flight = await join(...asked);
      // The record changes under the handler, whose commit fails: it runs once more.
      const { value, revision } = await records.getFromLeader(path);
      if (value && joined.length === 0) await records.update(path, value, revision);
      joined.push(flight.kind);
      return flight;
    });
  });
  expect(await world.ask(talk, text)).toMatchObject({ outcome: "answered", cached: false });
  for (const spy of spies) spy.mockRestore();
  expect(joined).toEqual(["ask", "ask"]);
});

test("erasing a session removes what it contributed, on every host", async () => {
  const text = "How many days of delivery in the countries?";
  const talk = session();
  await world.ask(talk, text);
  // Nobody else asks before it is kept: whose answer came later would be whose it is.
  const origin = originOf(TENANT, talk);
  await waitUntil(
    async () => {
      const id = (await stored("o"))
        .find((key) => key.includes(origin))
        ?.split(".")
        .at(-1);
      return id !== undefined && (await stored("a")).some((key) => key.endsWith(id));
    },
    { what: "an entry of the session" },
  );
  expect(await world.ask(session(), text)).toMatchObject({ cached: true });
  expect(await world.client.erase(TENANT, talk)).toMatchObject({ session: talk });
  const again = await Promise.all([1, 2, 3, 4].map(() => world.ask(session(), text)));
  expect(again.some(({ cached }) => !cached)).toBe(true);
});

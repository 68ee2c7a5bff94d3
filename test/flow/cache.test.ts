// The response cache on a real NATS: never stale while documents change, both levels, tenants apart, and an invalidator
// that deletes exactly what depends on a change.
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { LeveledCache } from "#actors/cache/answer-cache.ts";
import { Entries, removeEntry } from "#actors/cache/entries.ts";
import { entryOf } from "#actors/cache/entry.ts";
import { invalidate, startInvalidator } from "#actors/cache/invalidator.ts";
import { fingerprintOf } from "#actors/cache/key.ts";
import type { CacheQuery } from "#actors/cache/port.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Passage } from "#contracts/job.ts";
import { BUCKETS, bucketSubject } from "#contracts/subjects.ts";
import { systemClock } from "#runtime/clock.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { Kv } from "#runtime/nats/kv.ts";
import {
  answerFrom,
  insteadOf,
  type KnowledgeWorld,
  knowledgeWorld,
  type Reader,
  silentLog,
} from "#test/harness/knowledge.ts";
import { randomOf } from "#test/harness/random.ts";
import { TOPICS } from "#test/harness/topics.ts";
import { PATIENCE_MS, pause, waitUntil } from "#test/harness/wait.ts";

let world: KnowledgeWorld;
let one: Reader;
let two: Reader;
let kv: Kv;

beforeAll(async () => {
  world = await knowledgeWorld();
  one = await world.reader("one");
  two = await world.reader("two");
  kv = new Kv(world.bus, BUCKETS.cache);
});
afterAll(() => world?.stop());

const content = (topic: string, version: number) => ({
  title: topic,
  text: `The ${topic} has version ${version}.`,
  locale: "en",
});

async function queryFor(reader: Reader, tenant: string, topic: string): Promise<CacheQuery> {
  const question = `Which version has the ${topic}?`;
  const position = reader.cache.position();
  const passages = await reader.retriever.retrieve({
    tenant,
    collections: ["c"],
    question,
    locale: "en",
    limit: 3,
  });
  return {
    tenant,
    assistant: "a",
    assistantVersion: "1",
    tier: "small",
    locale: "en",
    question,
    passages,
    position,
  };
}

/** What a model would say: the text of the best passage. */
async function put(tenant: string, topic: string, version: number): Promise<number> {
  const { revision } = await world.store.put(tenant, "c", topic, content(topic, version));
  expect(await world.store.waitIndexed(revision, PATIENCE_MS)).toBe(true);
  return revision;
}

async function stored(filter: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of kv.entries(filter)) keys.push(key);
  return keys.sort();
}

test("2,000 look-ups racing with changes over two readers: none stale, more than half hits", async () => {
  const random = randomOf(7);
  const acknowledged = new Map<string, number>();
  for (const topic of TOPICS) {
    await put("race", topic, 0);
    acknowledged.set(topic, 0);
  }
  let lookups = 0;
  let hits = 0;
  const stale: string[] = [];
  /** How many had been made when the change under way began: hits need no server, which a busy machine may leave behind. */
  let changingSince: number | undefined;
  const look = async (): Promise<void> => {
    while (lookups < 2_000) {
      if (lookups - (changingSince ?? lookups) >= 40) {
        await pause(1);
        continue;
      }
      lookups++;
      const topic = random.pick(TOPICS);
      const reader = random.oneIn(2) ? one : two;
      const floor = acknowledged.get(topic) as number;
      const query = await queryFor(reader, "race", topic);
      const cached = (await reader.cache.lookup(query))?.answer;
      const answer = cached ?? answerFrom(query);
      if (cached) hits++;
      const version = Number(/version (\d+)/.exec(answer.reply)?.[1]);
      if (version < floor) stale.push(`${topic}: ${version} < ${floor}, ${cached ? "cached" : "retrieved"}`);
      if (!cached) await reader.cache.store(query, answer, "s");
      // Hits in memory never leave the microtasks; without this nobody else would run.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  let changes = 0;
  const change = async (): Promise<void> => {
    while (lookups < 2_000) {
      const topic = random.pick(TOPICS);
      const version = (acknowledged.get(topic) as number) + 1;
      changingSince = lookups;
      await put("race", topic, version);
      changingSince = undefined;
      acknowledged.set(topic, version);
      changes++;
      const next = lookups + 40;
      await waitUntil(() => lookups >= Math.min(next, 2_000), {
        what: "look-ups",
        pollMs: 1,
      });
    }
  };
  await Promise.all([change(), ...Array.from({ length: 16 }, look)]);
  expect(stale).toEqual([]);
  expect(changes).toBeGreaterThan(10);
  expect(hits / lookups).toBeGreaterThan(0.5);
  console.log(`look-ups ${lookups}, hits ${hits}, changes ${changes}, stale ${stale.length}`);
});

describe("what is served", () => {
  test("an answer of one process is found by another, and by a third tenant never", async () => {
    await put("t1", "zebra", 1);
    await put("t2", "zebra", 1);
    const query = await queryFor(one, "t1", "zebra");
    await one.cache.store(query, answerFrom(query), "s");
    expect((await one.cache.lookup(query))?.answer).toEqual(answerFrom(query));
    expect((await two.cache.lookup(query))?.answer).toEqual(answerFrom(query));
    expect(await two.cache.lookup({ ...query, tenant: "t2" })).toBeUndefined();
    expect(await two.cache.lookup(await queryFor(two, "t2", "zebra"))).toBeUndefined();
    for (const change of [{ assistant: "b" }, { assistantVersion: "2" }, { tier: "large" }, { locale: "nl" }])
      expect(await two.cache.lookup({ ...query, ...change })).toBeUndefined();
    expect((await two.cache.lookup({ ...query, question: "which version has  the ZEBRA" }))?.answer).toEqual(
      answerFrom(query),
    );
  });

  test("after a change the old request misses in both levels, even where nobody deleted its entry", async () => {
    await put("t3", "zebra", 1);
    const query = await queryFor(one, "t3", "zebra");
    await one.cache.store(query, answerFrom(query), "s");
    await put("t3", "zebra", 2);
    expect(await one.cache.lookup(query)).toBeUndefined();
    expect(await two.cache.lookup(query)).toBeUndefined();
    expect((await kv.get(`a.t3.${fingerprintOf(query)}`)).value).toBeDefined();
  });

  test("an answer that came after a change of what it rests on is not kept, nor one without citations", async () => {
    await put("t4", "zebra", 1);
    const query = await queryFor(one, "t4", "zebra");
    await one.cache.store(query, { ...answerFrom(query), citations: [] }, "s");
    expect(await one.cache.lookup(query)).toBeUndefined();
    await put("t4", "zebra", 2);
    await one.cache.store(query, answerFrom(query), "s");
    expect(await stored("*.t4.>")).toEqual([]);
  });

  test("what an erased session still causes is not kept, on no host", async () => {
    await put("erased", "tiger", 1);
    await put("erased", "otter", 1);
    const late = await queryFor(two, "erased", "tiger");
    await one.cache.forget("erased", "gone");
    const query = await queryFor(one, "erased", "otter");
    const before = two.cache.status().entries;
    await one.cache.store(query, answerFrom(query), "stays");
    // Heard in order: whoever has this entry has heard of the erasure.
    await waitUntil(() => two.cache.status().entries > before, { what: "the other host" });
    await two.cache.store(late, answerFrom(late), "gone");
    expect(await two.cache.lookup(late)).toBeUndefined();
    expect(await stored("a.erased.*")).toHaveLength(1);
    await two.cache.store(late, answerFrom(late), "stays");
    expect((await one.cache.lookup(late))?.answer.reply).toContain("tiger");
  });

  test("what a host stores while a session is erased goes again, however late it hears of that", async () => {
    await put("overtaken", "otter", 1);
    const query = await queryFor(one, "overtaken", "otter");
    const erased = Promise.withResolvers<void>();
    const append: Bus["append"] = async (subject, ...given) => {
      if (subject.startsWith(bucketSubject(BUCKETS.cache, "a."))) await erased.promise;
      return await one.bus.append(subject, ...given);
    };
    // Never started, so it follows nothing.
    const behind = insteadOf(one.bus, { append });
    const cache = new LeveledCache(behind, { revisions: one.retriever, log: silentLog });
    const storing = cache.store(query, answerFrom(query), "gone");
    await waitUntil(async () => (await stored("o.overtaken.>")).length > 0, {
      what: "the first of its keys",
    });
    await two.cache.forget("overtaken", "gone");
    erased.resolve();
    await storing;
    expect(await cache.lookup(query)).toBeUndefined();
    expect(await two.cache.lookup(query)).toBeUndefined();
    expect(await stored("*.overtaken.>")).toEqual([expect.stringMatching(/^e/), expect.stringMatching(/^r/)]);
    await cache.stop();
  });

  test("an answer of a session that was erased meanwhile is not stored where the store fails to tell of that", async () => {
    await put("unheard", "otter", 1);
    const query = await queryFor(one, "unheard", "otter");
    const erased = Promise.withResolvers<void>();
    const append: Bus["append"] = async (subject, ...given) => {
      if (subject.startsWith(bucketSubject(BUCKETS.cache, "a."))) await erased.promise;
      return await one.bus.append(subject, ...given);
    };
    const leaderGet: Bus["leaderGet"] = async () => {
      throw new JetclawError("nats.unavailable", "no answer in time");
    };
    // Never started, so it follows nothing.
    const cache = new LeveledCache(insteadOf(one.bus, { append, leaderGet }), {
      revisions: one.retriever,
      log: silentLog,
    });
    const storing = cache.store(query, answerFrom(query), "gone");
    await waitUntil(async () => (await stored("o.unheard.>")).length > 0, { what: "the first of its keys" });
    await two.cache.forget("unheard", "gone");
    erased.resolve();
    await storing;
    expect(await stored("a.unheard.>")).toEqual([]);
    expect(await cache.lookup(query)).toBeUndefined();
    await cache.stop();
  });

  test("an erasure is remembered for as long as a check by a batch API may take", async () => {
    await put("checked", "otter", 1);
    const query = await queryFor(one, "checked", "otter");
    const [passage] = query.passages as [Passage];
    const revisions = { position: 0, newestAt: 0, fresh: () => true, changeOf: () => passage };
    const answersMs = 24 * 3_600_000;
    const cache = new LeveledCache(world.bus, { revisions, log: silentLog, answersMs });
    await cache.forget("checked", "gone");
    const later = performance.now() + answersMs;
    const spy = vi.spyOn(performance, "now").mockImplementation(() => later);
    try {
      await cache.store(query, answerFrom(query), "gone");
    } finally {
      spy.mockRestore();
      await cache.stop();
    }
    expect(await stored("a.checked.*")).toEqual([]);
  });

  test.each([
    ["is removed once more", "otter"],
    ["made room for another one, of a session that was erased", "tiger"],
  ])("an answer that was removed and %s stays away, also on a host that starts later", async (_, topic) => {
    const tenant = `removed-${topic}`;
    await put(tenant, topic, 1);
    const query = await queryFor(one, tenant, topic);
    const remove = () => removeEntry(kv, systemClock, tenant, fingerprintOf(query), { ban: true });
    await one.cache.store(query, answerFrom(query), "s");
    expect(await remove()).toBe(true);
    if (topic === "otter") expect(await remove()).toBe(false);
    if (topic === "tiger") {
      await two.cache.store(query, { ...answerFrom(query), reply: "Another answer." }, "erased");
      expect(await stored(`a.${tenant}.*`)).toHaveLength(1);
      await two.cache.forget(tenant, "erased");
    }
    await put(tenant, "gibbon", 1);
    const next = await queryFor(one, tenant, "gibbon");
    await one.cache.store(next, answerFrom(next), "s");
    const later = new Entries(world.bus, { clock: systemClock, memoryBytes: 1024 * 1024 });
    later.start();
    try {
      // Heard in order: whoever has this entry has heard of all that was removed before.
      await waitUntil(() => later.held(tenant, fingerprintOf(next)) !== undefined, {
        what: "the host that starts",
      });
      const back = entryOf(fingerprintOf(query), query, answerFrom(query), "s", systemClock.now());
      expect(await later.put(back, () => true)).toBe("removed");
    } finally {
      later.stop();
    }
  });

  test("an answer that was removed is taken from no host that has not heard of that yet", async () => {
    await put("deaf", "otter", 1);
    const query = await queryFor(one, "deaf", "otter");
    const entry = entryOf(fingerprintOf(query), query, answerFrom(query), "s", systemClock.now());
    await one.cache.store(query, answerFrom(query), "s");
    expect(await removeEntry(kv, systemClock, "deaf", entry.id, { ban: true })).toBe(true);
    await waitUntil(async () => (await one.cache.lookup(query)) === undefined, { what: "its end" });
    // Never started, so it follows nothing.
    const deaf = new Entries(world.bus, { clock: systemClock, memoryBytes: 1024 * 1024 });
    expect(await deaf.put(entry, () => true)).toBe("stored");
    expect(await one.cache.lookup(query)).toBeUndefined();
  });

  test("a reader that cannot prove itself current serves and keeps nothing", async () => {
    await put("t5", "zebra", 1);
    const query = await queryFor(one, "t5", "zebra");
    let fresh = true;
    const { retriever } = one;
    const revisions = {
      position: 0,
      newestAt: 0,
      fresh: () => fresh,
      changeOf: retriever.changeOf.bind(retriever),
    };
    const cache = new LeveledCache(world.bus, { revisions, log: silentLog });
    await cache.store(query, answerFrom(query), "s");
    expect(await cache.lookup(query)).toBeDefined();
    const { entries } = cache.status();
    fresh = false;
    expect(await cache.lookup(query)).toBeUndefined();
    // Nobody knows that it is outdated, so questions in other words may still find it.
    expect(cache.status().entries).toBe(entries);
    fresh = true;
    expect(await two.cache.lookup(query)).toBeDefined();
  });
});

describe("the invalidator", () => {
  test("deletes exactly the entries that rest on an older revision, in any order and repeated", async () => {
    for (const topic of ["zebra", "walrus", "parrot"]) await put("t6", topic, 1);
    const queries = new Map<string, CacheQuery>();
    for (const topic of ["zebra", "walrus", "parrot"]) {
      const query = await queryFor(one, "t6", topic);
      queries.set(topic, query);
      await one.cache.store(query, answerFrom(query), "s");
    }
    // An answer about the walrus that also rests on the zebra.
    const both = {
      ...(queries.get("walrus") as CacheQuery),
      passages: [
        ...(queries.get("walrus") as CacheQuery).passages,
        ...(queries.get("zebra") as CacheQuery).passages,
      ],
    };
    await one.cache.store(both, answerFrom(both), "s");
    const entries = (...kept: CacheQuery[]): string[] =>
      kept.map((query) => `a.t6.${fingerprintOf(query)}`).sort();
    const [zebra, walrus, parrot] = ["zebra", "walrus", "parrot"].map(
      (topic) => queries.get(topic) as CacheQuery,
    ) as [CacheQuery, CacheQuery, CacheQuery];
    expect(await stored("a.t6.*")).toEqual(entries(zebra, walrus, parrot, both));

    const document = { tenant: "t6", collection: "c", document: "zebra" };
    const current = one.retriever.changeOf("t6", "c", "zebra")?.revision as number;
    expect(await invalidate(kv, document, current)).toBe(0);
    expect(await invalidate(kv, { ...document, tenant: "t7" }, current + 1)).toBe(0);
    // Written by nobody we know: it must not hold up the change.
    await kv.put("d.t6.c.zebra.unreadable", Uint8Array.of(0x92, 1));
    expect(await invalidate(kv, document, current + 1)).toBe(2);
    expect(await invalidate(kv, document, current + 1)).toBe(0);
    expect(await stored("a.t6.*")).toEqual(entries(walrus, parrot));
    expect(await stored("d.t6.c.zebra.*")).toEqual([]);
  });

  test("as a role it follows the changes, each handled by one of its processes", async () => {
    await put("t8", "zebra", 1);
    const query = await queryFor(one, "t8", "zebra");
    await one.cache.store(query, answerFrom(query), "s");
    const running = await Promise.all([1, 2].map(() => startInvalidator(world.bus, { log: silentLog })));
    const settled = async (): Promise<boolean> => (await running[0]?.waiting()) === 0;
    await waitUntil(settled, { what: "the changes so far" });
    expect(await stored("a.t8.*")).toHaveLength(1);
    await put("t8", "zebra", 2);
    await waitUntil(async () => (await stored("*.t8.>")).length === 0, { what: "the end of the entry" });
    await Promise.all(running.map((invalidator) => invalidator.stop()));
  });
});

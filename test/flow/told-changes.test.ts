// Changes that other systems tell of, on a real NATS: in any order, repeated, at once, and where they say what is stored.
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import type { DocumentChange } from "#contracts/cloudevent.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { insteadOf, type KnowledgeWorld, knowledgeWorld } from "#test/harness/knowledge.ts";

let world: KnowledgeWorld;
beforeAll(async () => {
  world = await knowledgeWorld();
});
afterAll(() => world?.stop());

const secret = (word: string) => ({ title: "Secrets", text: `The secret word is ${word}.`, locale: "en" });
const change = (id: number, at: number | undefined, word?: string): DocumentChange => ({
  document: "d",
  input: word === undefined ? undefined : secret(word),
  event: `https://cms.example ${id}`,
  at,
});
const textOf = async (tenant: string): Promise<string | undefined> =>
  (await world.store.get(tenant, "c", "d"))?.text;

test("in any order, repeated and at once: what happened last is what is stored", async () => {
  const changes = [
    change(1, 1_000, "one"),
    change(2, 2_000, "two"),
    change(3, 3_000),
    change(4, 4_000, "four"),
    change(5, 5_000),
  ];
  const law = fc.asyncProperty(
    fc.uuid(),
    fc.integer({ min: 1, max: 5 }),
    fc.infiniteStream(fc.nat()),
    async (tenant, most, random) => {
      const told = [...changes.slice(0, most), ...changes.slice(0, most)].sort(
        () => ((random.next().value as number) % 3) - 1,
      );
      const outcomes = await Promise.all(told.map((each) => world.store.change(tenant, "c", each)));
      expect(await textOf(tenant)).toBe(changes[most - 1]?.input?.text);
      // A repeat comes after its first time or is late.
      expect(
        outcomes.filter(({ outcome }) => ["stored", "deleted"].includes(outcome)).length,
      ).toBeLessThanOrEqual(most);
    },
  );
  await fc.assert(law, { numRuns: 25 });
});

test("one that says what is stored counts by its time: what happened before it and is told after it is late", async () => {
  const first = await world.store.change("t13", "c", change(1, 1_000, "same"));
  expect(await world.store.change("t13", "c", change(3, 3_000, "same"))).toEqual({
    document: "d",
    outcome: "unchanged",
    revision: first.revision,
  });
  expect(await world.store.change("t13", "c", change(2, 2_000, "other"))).toMatchObject({
    outcome: "late",
  });
  expect(await textOf("t13")).toBe("The secret word is same.");
  expect(await world.store.change("t13", "c", change(4, 4_000, "other"))).toMatchObject({
    outcome: "stored",
  });
});

test("what is said again just while something older replaces it comes back", async () => {
  await world.store.change("t14", "c", change(1, 1_000, "same"));
  let told: unknown;
  const append: Bus["append"] = async (...appended) => {
    told ??= await world.store.change("t14", "c", change(3, 3_000, "same"));
    return await world.bus.append(...appended);
  };
  const slow = createKnowledgeStore(insteadOf(world.bus, { append }));
  expect(await slow.change("t14", "c", change(2, 2_000, "other"))).toMatchObject({ outcome: "late" });
  slow.stop();
  expect(told).toMatchObject({ outcome: "unchanged" });
  expect(await textOf("t14")).toBe("The secret word is same.");
  expect(await world.store.change("t14", "c", change(2, 2_000, "other"))).toMatchObject({
    outcome: "duplicate",
  });
});

test("in any order and at once, also where the same is said again: what happened last is what is stored", async () => {
  const law = fc.asyncProperty(
    fc.uuid(),
    fc.array(fc.constantFrom("one", "two"), { minLength: 2, maxLength: 5 }),
    fc.infiniteStream(fc.nat()),
    fc.boolean(),
    async (tenant, words, random, atOnce) => {
      const changes = words.map((word, n) => change(n + 1, 1_000 * (n + 1), word));
      const told = changes
        .map((each) => ({ each, at: random.next().value as number }))
        .sort((a, b) => a.at - b.at)
        .map(({ each }) => each);
      if (atOnce) await Promise.all(told.map((each) => world.store.change(tenant, "c", each)));
      else for (const each of told) await world.store.change(tenant, "c", each);
      expect(await textOf(tenant)).toBe(changes.at(-1)?.input?.text);
    },
  );
  await fc.assert(law, { numRuns: 200 });
});

test("events without a time are told apart by their ids; a document put by hand is newer than what happened before", async () => {
  expect(await world.store.change("t10", "c", change(1, undefined, "one"))).toMatchObject({
    outcome: "stored",
  });
  const two = await world.store.change("t10", "c", change(2, undefined, "two"));
  expect(await world.store.change("t10", "c", change(1, undefined, "one"))).toEqual({
    document: "d",
    outcome: "duplicate",
    revision: two.revision,
  });
  expect(await world.store.change("t10", "c", change(3, undefined, "two"))).toMatchObject({
    outcome: "unchanged",
  });
  expect(await textOf("t10")).toBe("The secret word is two.");
  await world.store.put("t10", "c", "d", secret("by hand"));
  expect(await world.store.change("t10", "c", change(4, 1_000, "old"))).toMatchObject({ outcome: "late" });
  expect(await textOf("t10")).toBe("The secret word is by hand.");
  expect(await world.store.change("t10", "c", change(5, Date.now() + 86_400_000))).toMatchObject({
    outcome: "deleted",
  });
  // The clock of that system is a day ahead; what we are told later still counts.
  await world.store.put("t10", "c", "d", secret("again"));
  expect(await textOf("t10")).toBe("The secret word is again.");
});

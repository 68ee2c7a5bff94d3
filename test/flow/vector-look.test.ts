// An indexer looks now and then whether Qdrant was emptied. Where nothing is to be found again it looks no more.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startTestQdrant } from "#test/harness/qdrant.ts";
import { fill, indexed, SHOP, shopOf, VectorWorld } from "#test/harness/vectors.ts";
import { pause, waitUntil } from "#test/harness/wait.ts";

const looks = vi.hoisted(() => ({ everyMs: 20 }));
vi.mock("#runtime/pulse.ts", () => ({ untilPulse: () => looks.everyMs }));

let world: VectorWorld;
beforeEach(async () => {
  world = await VectorWorld.start();
});
afterEach(() => world.stop());

test("all records are not read again and again where all documents are deleted", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const one = await shopOf(world, qdrant);
  let last = 0;
  for (const id of Object.keys(SHOP)) last = (await one.store.delete("acme", "shop", id))?.revision ?? last;
  await indexed(one, last);
  const lookups = (): number => qdrant.requests.filter((name) => name.includes("scroll")).length;
  await waitUntil(
    async () => {
      const before = lookups();
      await pause(20 * looks.everyMs);
      return lookups() === before;
    },
    { what: "the looks to end" },
  );
  // What comes after that is looked for again.
  await indexed(one, await fill(one));
  const before = lookups();
  await waitUntil(() => lookups() > before, { what: "a look" });
  expect(await qdrant.points()).toBe(3);
});

// Three hosts, changes and killed consumers: a small run of what `npm run test:fault -- --mode stale` does at length.
import { randomInt } from "node:crypto";
import { expect, test } from "vitest";
import { runStale } from "#test/harness/stale.ts";

test("2,400 look-ups on three hosts, racing with changes while indexers and invalidators are killed: none is stale or of another topic, half are hits", async () => {
  const seed = Number(process.env.JETCLAW_TEST_SEED ?? randomInt(1, 2 ** 31));
  console.log(`seed ${seed}`);
  const figures = await runStale({ seed, lookups: 2_400, hosts: 3, killEvery: 300 });
  console.log(JSON.stringify(figures));
  expect([...figures.stale, ...figures.calm.stale]).toEqual([]);
  expect([...figures.otherEntity, ...figures.calm.otherEntity]).toEqual([]);
  expect(figures.hits).toBeGreaterThan(figures.lookups / 2);
  expect(figures.killedIndexers + figures.killedInvalidators).toBeGreaterThan(0);
  expect(figures.changes).toBeGreaterThan(20);
});

// Two runs that make all vectors anew: the second one is told who has begun, takes over from a dead one, and a run that was
// taken over from drops nothing any more.
import { afterEach, beforeEach, expect, test } from "vitest";
import { alone } from "#actors/knowledge/vectors/alone.ts";
import { reindex } from "#actors/knowledge/vectors/reindex.ts";
import { encode } from "#contracts/codec.ts";
import { JetclawError } from "#contracts/errors.ts";
import { BUCKETS } from "#contracts/subjects.ts";
import { reindexDocuments } from "#ops/compose/reindex.ts";
import { documentEmbedder, replacementOf } from "#ops/compose/vectors.ts";
import { systemClock } from "#runtime/clock.ts";
import { Kv } from "#runtime/nats/kv.ts";
import { Lease } from "#runtime/placement/lease.ts";
import { startTestQdrant } from "#test/harness/qdrant.ts";
import { ask, BY_MEANING, documentsOf, shopOf, VectorWorld } from "#test/harness/vectors.ts";
import { waitUntil } from "#test/harness/wait.ts";

const ANY = {
  tenant: "acme",
  collection: "shop",
  document: "any",
  revision: 1,
  language: "en",
  hashes: ["any"],
};
const KEY = "lease.reindex.concepts";
const refusalOf = (step: () => Promise<void>): Promise<unknown> =>
  step().then(
    () => false,
    (error: unknown) => error,
  );
let world: VectorWorld;
beforeEach(async () => {
  world = await VectorWorld.start();
});
afterEach(() => world.stop());

test("a second run is refused by name while the first one is alive, and touches nothing of what it fills", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const one = await shopOf(world, qdrant);
  const { bus, config } = await world.contextOf("operator", qdrant);

  const filled = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const first = alone(bus, { space: "concepts", owner: "ada@night, process 7" }, async (stillAlone) => {
    const replacement = await replacementOf(config, 64);
    await replacement?.index.upsert([{ ...ANY, vectors: [new Float32Array(64).fill(0.125)] }]);
    filled.resolve();
    await goOn.promise;
    await stillAlone();
  });
  await filled.promise;
  const before = await qdrant.collections();
  const waited: string[] = [];
  await expect(
    reindexDocuments(bus, config, { onWaiting: ({ owner }) => void waited.push(owner) }),
  ).rejects.toMatchObject({
    code: "vectors.busy",
    detail: expect.stringMatching(/^ada@night, process 7 makes those of concepts anew, since 20\d\d-/),
  });
  expect(waited).toEqual(["ada@night, process 7"]);
  expect(before).toHaveLength(2);
  expect(await qdrant.collections()).toEqual(before);
  goOn.resolve();
  await first;
  // Given back: the next one need not wait.
  expect(await reindexDocuments(bus, config)).toMatchObject({ documents: 3, refused: 0 });
  expect(await qdrant.collections()).toHaveLength(1);
  expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
});

test("a run that is interrupted ends before its next step and leaves its place: the next one goes through at once", async () => {
  await shopOf(world);
  const { bus, config } = await world.contextOf("operator");
  const signal = AbortSignal.abort(new Error("interrupted"));
  await expect(reindexDocuments(bus, config, { signal })).rejects.toThrow("interrupted");
  const waited: string[] = [];
  const onWaiting = ({ owner }: { owner: string }): void => void waited.push(owner);
  expect(await reindexDocuments(bus, config, { onWaiting })).toMatchObject({ documents: 3 });
  expect(waited).toEqual([]);
});

test("a run that died is taken over after its silence; one that was taken over from is told so before its next step", async () => {
  await shopOf(world);
  const { bus, config } = await world.contextOf("operator");
  const leaseMs = 1_000;
  const dead = new Lease({ bus, clock: systemClock, key: KEY, owner: "dead", leaseMs });
  expect(await dead.hold()).toBe(true);
  expect(await reindexDocuments(bus, config, { leaseMs })).toMatchObject({ documents: 3 });

  const held = new Kv(bus, BUCKETS.placement);
  await alone(bus, { space: "concepts", owner: "frozen", leaseMs }, async (stillAlone) => {
    await stillAlone();
    await held.put(KEY, encode({ owner: "next", since: 7, until: 0 }));
    const told = await waitUntil(() => refusalOf(stillAlone), { what: "the loss to be told" });
    expect(told).toMatchObject({
      code: "vectors.busy",
      detail: expect.stringMatching(/^next .*since 1970-/),
    });
    await expect(stillAlone()).rejects.toMatchObject({ code: "vectors.busy" });
  });
  await held.drop(KEY);
  // Also where the other one is through before this one looks.
  await alone(bus, { space: "concepts", owner: "frozen", leaseMs }, async (stillAlone) => {
    await stillAlone();
    await held.put(KEY, encode({ owner: "", until: 0 }));
    const told = await waitUntil(() => refusalOf(stillAlone), { what: "the loss to be told" });
    expect(told).toMatchObject({ code: "vectors.busy" });
  });
});

test("a run that is no longer alone neither takes over nor drops the collection in use", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const one = await shopOf(world, qdrant);
  const { bus, config } = await world.contextOf("operator", qdrant);
  const { embedder, client } = await documentEmbedder(config.embeddings!);
  world.cleanups.push(() => client.close());
  const aliases = [...(await qdrant.aliases())];
  const replacement = await replacementOf(config, 64);
  let steps = 0;
  const stillAlone = async (): Promise<void> => {
    if (++steps > 1) throw new JetclawError("vectors.busy");
  };
  await expect(reindex(bus, { space: "concepts", embedder, replacement, stillAlone })).rejects.toMatchObject({
    code: "vectors.busy",
  });
  expect([...(await qdrant.aliases())]).toEqual(aliases);
  expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
});

test("a collection that is gone while it is filled does not take over with what comes after", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const { config } = await world.contextOf("operator", qdrant);
  const { index } = (await replacementOf(config, 64))!;
  const point = { ...ANY, vectors: [new Float32Array(64).fill(0.125)] };
  await index.upsert([point]);
  await qdrant.lose();
  await expect(index.upsert([{ ...point, document: "other" }])).rejects.toMatchObject({
    code: "vectors.unavailable",
  });
});

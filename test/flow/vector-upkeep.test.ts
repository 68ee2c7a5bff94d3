// What becomes of vectors over time: a Qdrant that lost them, a model that was replaced, documents that are gone.
import { afterEach, beforeEach, expect, test } from "vitest";
import { unitLength } from "#actors/knowledge/embeddings/unit-length.ts";
import { QdrantRequests } from "#actors/knowledge/vectors/qdrant-client.ts";
import { QdrantCollections } from "#actors/knowledge/vectors/qdrant-collections.ts";
import { reindex } from "#actors/knowledge/vectors/reindex.ts";
import { dimensionsOf } from "#actors/knowledge/vectors/spaces.ts";
import { Thresholds } from "#actors/knowledge/vectors/thresholds.ts";
import { encodeRecord } from "#actors/knowledge/vectors/vector-record.ts";
import { encode } from "#contracts/codec.ts";
import { VECTORS, vectorsSubject } from "#contracts/subjects.ts";
import { CHECKS } from "#ops/cli/doctor/checks.ts";
import type { RoleContext } from "#ops/compose/context.ts";
import { deadLettersOf } from "#ops/compose/dead-letters.ts";
import { startIndexerRole } from "#ops/compose/indexer.ts";
import { reindexDocuments } from "#ops/compose/reindex.ts";
import { isUnused, knownSpaces, removeVectors } from "#ops/compose/vector-spaces.ts";
import { documentEmbedder, qdrantOptions, replacementOf } from "#ops/compose/vectors.ts";
import { readSettings } from "#ops/settings.ts";
import { streamState } from "#runtime/nats/reader.ts";
import { provision } from "#runtime/nats/topology.ts";
import { Presence } from "#runtime/observe/presence.ts";
import type { EmbeddingModel } from "#test/harness/embedding-model.ts";
import { silentLog } from "#test/harness/knowledge.ts";
import { startTestQdrant } from "#test/harness/qdrant.ts";
import { randomOf } from "#test/harness/random.ts";
import { ask, BY_MEANING, documentsOf, fill, indexed, SHOP, VectorWorld } from "#test/harness/vectors.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

let world: VectorWorld;
let model: EmbeddingModel;

beforeEach(async () => {
  world = await VectorWorld.start();
  model = world.model;
});
afterEach(() => world.stop());

test("a Qdrant that lost everything is filled from the records, by who notices, who starts and who looks; nothing is embedded again", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const first = await startIndexerRole(await world.contextOf("first", qdrant));
  const one = await world.retrievalOf("one", qdrant);
  await indexed(one, await fill(one));
  const embedded = model.texts.length;
  const asked = ["When does my shipment arrive?", "I want a reimbursement", "Which credentials?"];
  const found = async (more: string): Promise<boolean> => {
    const all = await Promise.all(asked.map((question) => ask(one, `${question} ${more}`)));
    return all.every((passages) => passages.length > 0);
  };
  await qdrant.lose();
  const more = { title: "Secrets", text: "The hidden room has a secret door.", locale: "en" };
  await indexed(one, (await one.store.put("acme", "shop", "secrets", more)).revision);
  await waitUntil(() => found("Now?"), { what: "all of it to be found" });
  await first.stop();
  await qdrant.lose();
  await world.indexerOf("second", qdrant);
  await waitUntil(() => found("Again?"), { what: "all of it to be found again" });
  await qdrant.lose();
  await waitUntil(() => found(`At ${Date.now()}?`), { what: "all of it to be found though nothing changes" });
  // The new document, and the questions.
  expect(
    model.texts.slice(embedded).filter((text) => Object.values(SHOP).some((d) => text.includes(d.text))),
  ).toEqual([]);
});

test("vectors of a model that nobody uses are removed with all they left, those in use are not", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const context = await world.contextOf("old", qdrant);
  const { embeddings } = context.config;
  const old = {
    ...context,
    config: { ...context.config, embeddings: { ...embeddings, model: "replaced/v1" } },
  };
  const before = await startIndexerRole(old as RoleContext);
  await world.indexerOf("new", qdrant);
  const one = await world.retrievalOf("one", qdrant);
  const last = await fill(one);
  await indexed(one, last);
  const bus = await world.connect("operator");
  const presence = new Presence(bus);
  world.cleanups.push(async () => presence.stop());
  const spaces = () => knownSpaces(bus, presence, context.config);
  const unused = async (): Promise<string[]> => (await spaces()).filter(isUnused).map(({ space }) => space);
  await waitUntil(async () => (await spaces()).filter(({ users }) => users > 0).length === 2, {
    what: "both models to be in use",
  });
  expect(await unused()).toEqual([]);
  await waitUntil(async () => (await qdrant.collections()).length === 2, { what: "both collections" });
  await before.stop();
  await waitUntil(async () => (await unused()).length === 1, {
    what: "the old one to be unused",
  });
  expect(await removeVectors(bus, context.config, "replaced/v1")).toEqual({ records: 3, collections: 1 });
  expect((await spaces()).map(({ space }) => space)).toEqual(["concepts"]);
  expect(await qdrant.collections()).toHaveLength(1);
  expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
  // Whoever comes back to it has everything anew.
  await world.started(startIndexerRole(old as RoleContext));
  await waitUntil(async () => (await qdrant.collections()).length === 2, { what: "the collection again" });
});

async function diagnosis(): Promise<unknown> {
  const [, check] = CHECKS.find(([name]) => name === "embeddings") ?? [];
  return check?.({
    settings: readSettings({
      JETCLAW_EMBEDDINGS_URL: model.baseUrl,
      JETCLAW_EMBEDDINGS_MODEL: "concepts",
    }),
    natsUrl: world.server.url,
    gateway: { url: "", key: "" },
    named: { gateway: false, nats: true },
  });
}

test.each([
  { where: "memory", inQdrant: false },
  { where: "Qdrant", inQdrant: true },
])(
  "a model that gives others under its name is told, and mended by indexing anew: in $where",
  async ({ inQdrant }) => {
    const qdrant = inQdrant ? await startTestQdrant() : undefined;
    world.cleanups.push(() => qdrant?.stop());
    const told: string[] = [];
    const listening = async (name: string): Promise<RoleContext> => {
      const context = await world.contextOf(name, qdrant);
      const tell = (given: unknown, message?: string): void => void told.push(message ?? String(given));
      return { ...context, log: Object.assign(Object.create(context.log), { error: tell, info: tell }) };
    };
    const says = (): boolean => told.some((message) => message.includes("jetclaw kb reindex"));
    const first = await startIndexerRole(await listening("first"));
    const one = await world.retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);

    model.dimensions = 96;
    const warranty = { title: "Warranty", text: "Two years on everything.", locale: "en" };
    await one.store.put("acme", "shop", "warranty", warranty);
    await waitUntil(says, { what: "the running indexer to say it" });
    await first.stop();
    told.length = 0;
    await world.started(startIndexerRole(await listening("second")));
    await waitUntil(says, { what: "a new indexer to say it" });
    // Half of its texts are known, of the other length.
    await one.store.put("acme", "shop", "login", {
      ...SHOP.login,
      text: `${SHOP.login.text}\n\n# More\nNo.`,
    });
    const bus = await world.connect("operator");
    expect(await dimensionsOf(bus, "concepts")).toBe(64);
    expect(await diagnosis()).toMatchObject({
      ...{ state: "fail", found: expect.stringMatching(/96 numbers .* have 64/) },
      next: expect.stringContaining("jetclaw kb reindex"),
    });

    const { config } = await world.contextOf("reindex", qdrant);
    expect(await reindexDocuments(bus, config, {})).toMatchObject({ documents: 4, embedded: 5, refused: 0 });
    expect(await dimensionsOf(bus, "concepts")).toBe(96);
    expect(await diagnosis()).toMatchObject({ state: "ok" });
    if (qdrant) expect(await qdrant.collections()).toHaveLength(1);
    // Nobody is started anew: what ran before goes on with the new ones.
    await waitUntil(() => told.includes("vectors are indexed again"), { what: "the indexer to go on" });
    const two = await world.retrievalOf("two", qdrant);
    const last = (
      await two.store.put("acme", "shop", "warranty", { ...warranty, text: "Three years on everything." })
    ).revision;
    await indexed(two, last);
    for (const each of [one, two]) {
      expect(documentsOf(await ask(each, "My lamp is broken."))).toEqual(["warranty"]);
      // Asked before, it was remembered as the model before gave it.
      expect(documentsOf(await ask(each, BY_MEANING))).toEqual(["delivery"]);
    }
  },
);

test.each([
  { where: "memory", inQdrant: false },
  { where: "Qdrant", inQdrant: true },
])(
  "a document that such a model refuses leaves no vectors that keep the others out: in $where",
  async ({ inQdrant }) => {
    const qdrant = inQdrant ? await startTestQdrant() : undefined;
    world.cleanups.push(() => qdrant?.stop());
    const first = await startIndexerRole(await world.contextOf("first", qdrant));
    const one = await world.retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    await first.stop();

    model.dimensions = 96;
    model.refuses = SHOP.delivery.text;
    const { bus, config } = await world.contextOf("reindex", qdrant);
    expect(await reindexDocuments(bus, config, {})).toMatchObject({ documents: 3, refused: 1 });
    expect(await dimensionsOf(bus, "concepts")).toBe(96);
    expect(await diagnosis()).toMatchObject({ state: "ok" });
    await qdrant?.lose();
    await world.indexerOf("second", qdrant);
    const two = await world.retrievalOf("two", qdrant);
    const warranty = { title: "Warranty", text: "Two years on everything.", locale: "en" };
    await indexed(two, (await two.store.put("acme", "shop", "warranty", warranty)).revision);
    await waitUntil(async () => documentsOf(await ask(two, "My lamp is broken.")).includes("warranty"), {
      what: "a new document to be found by its meaning",
    });
    expect(documentsOf(await ask(two, "Which credentials?"))).toEqual(["login"]);
    // Taken after all, it comes back.
    model.refuses = undefined;
    const { letters } = await deadLettersOf(bus, { shards: 1, replicas: 1 }).list({ kind: "knowledge" });
    expect(letters).toHaveLength(1);
    await deadLettersOf(bus, { shards: 1, replicas: 1 }).redrive(letters[0]?.reference ?? "");
    await waitUntil(async () => documentsOf(await ask(two, BY_MEANING)).includes("delivery"), {
      what: "it to be found by its meaning",
    });
  },
);

test.each([
  { where: "memory", inQdrant: false },
  { where: "Qdrant", inQdrant: true },
])(
  "a model that is back after its vectors were made anew in part goes on with the former ones: in $where",
  async ({ inQdrant }) => {
    const qdrant = inQdrant ? await startTestQdrant() : undefined;
    world.cleanups.push(() => qdrant?.stop());
    const first = await startIndexerRole(await world.contextOf("first", qdrant));
    const one = await world.retrievalOf("one", qdrant);
    const warranty = { title: "Warranty", text: "Two years on everything.", locale: "en" };
    for (const each of ["a", "b", "c", "d", "e", "f"]) await one.store.put("acme", "shop", each, warranty);
    await indexed(one, await fill(one));
    await first.stop();

    model.dimensions = 96;
    model.refuses = warranty.text;
    const { bus, config } = await world.contextOf("reindex", qdrant);
    await expect(reindexDocuments(bus, config, {})).rejects.toMatchObject({ code: "vectors.incomplete" });
    // In memory what was made anew is found meanwhile, by a process that runs; in Qdrant the new index is not in use.
    const found = qdrant ? [] : ["delivery"];
    expect(documentsOf(await ask(one, "Where is my package?"))).toEqual(found);
    model.dimensions = 64;
    model.refuses = undefined;
    await qdrant?.lose();
    expect(await diagnosis()).toMatchObject({ state: "warn", next: expect.stringContaining("kb reindex") });
    await world.indexerOf("second", qdrant);
    const two = await world.retrievalOf("two", qdrant);
    // None of its texts has to be embedded for its change.
    await two.store.put("acme", "shop", "delivery", { ...SHOP.delivery, tags: ["post"] });
    await waitUntil(async () => documentsOf(await ask(two, BY_MEANING)).includes("delivery"), {
      what: "it to be found by its meaning",
    });
    // All six are equally near.
    const lamp = async (): Promise<string[]> =>
      documentsOf(await ask(two, "My lamp is broken.", { limit: 6 }));
    await waitUntil(async () => (await lamp()).includes("a"), {
      what: "one that was not made anew to be found by its meaning",
    });
    expect(await ask(two, "Which credentials?")).toEqual([]);
    expect(await reindexDocuments(bus, config, {})).toMatchObject({ refused: 0 });
    expect(await diagnosis()).toMatchObject({ state: "ok" });
    await waitUntil(async () => documentsOf(await ask(two, "Whose credentials?")).includes("login"), {
      what: "one that was made anew to be found by its meaning",
    });
  },
);

test("an indexer that goes on before all is made anew leaves the collection that is being filled alone", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  const told: string[] = [];
  const context = await world.contextOf("indexer", qdrant);
  const warn = ({ reason }: { reason?: string }): void => void told.push(reason ?? "");
  const log = Object.assign(Object.create(context.log), { warn });
  await world.started(startIndexerRole({ ...context, log }));
  const one = await world.retrievalOf("one", qdrant);
  await indexed(one, await fill(one));

  model.dimensions = 96;
  const { bus, config } = await world.contextOf("reindex", qdrant);
  const options = (await qdrantOptions(config))!;
  const requests = new QdrantRequests({ ...options, timeoutMs: PATIENCE_MS, retries: 3 });
  const inUse = () => new QdrantCollections(requests, options).dimensions();
  const { embedder, client } = await documentEmbedder(config.embeddings!);
  world.cleanups.push(() => client.close());
  await embedder.embed(["shop"]);
  const replacement = (await replacementOf(config, 96))!;
  const [filled, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const takeOver = async (): Promise<void> => {
    filled.resolve();
    await held.promise;
    await replacement.takeOver();
  };
  const run = reindex(bus, { space: "concepts", embedder, replacement: { ...replacement, takeOver } });
  await Promise.race([filled.promise, run]);
  const warranty = { title: "Warranty", text: "Two years on everything.", locale: "en" };
  await one.store.put("acme", "shop", "warranty", warranty);
  const waits = (): boolean => told.some((reason) => reason.includes("64 numbers are in use"));
  await waitUntil(async () => waits() || (await inUse()).includes(96), { what: "the indexer to try it" });
  expect(await inUse()).toEqual([64]);

  held.resolve();
  expect(await run).toMatchObject({ refused: 0 });
  expect(await inUse()).toEqual([96]);
  const two = await world.retrievalOf("two", qdrant);
  await waitUntil(async () => documentsOf(await ask(two, "My lamp is broken.")).includes("warranty"), {
    what: "what changed meanwhile to be found by its meaning",
  });
});

test("vectors in JetStream are a record a document, without the ones that are gone", async () => {
  await world.indexerOf("indexer");
  const one = await world.retrievalOf("one");
  await indexed(one, await fill(one));
  const bus = await world.connect("bytes");
  const filled = await streamState(bus, VECTORS);
  // And the mark behind them.
  expect(filled.messages).toBe(3 + 1);
  const gone = await one.store.delete("acme", "shop", "login");
  await indexed(one, gone?.revision ?? 0);
  const after = await streamState(bus, VECTORS);
  expect(after.messages).toBe(3 + 1);
  expect(after.bytes).toBeLessThan(filled.bytes - 64);
});

test("a process that starts while vectors cannot be read reads them as soon as they can be", async () => {
  await world.indexerOf("indexer");
  const bus = await world.connect("operator");
  await bus.jsm.streams.delete(VECTORS);
  const one = await world.retrievalOf("one");
  expect(one.readiness()).toBeDefined();
  await provision(bus, { shards: 1, pools: [] });
  await waitUntil(() => one.readiness() === undefined, { what: "the vectors to be read" });
  await indexed(one, await fill(one));
  await waitUntil(async () => documentsOf(await ask(one, BY_MEANING)).includes("delivery"), {
    what: "a document to be found by its meaning",
  });
});

test("a record that nobody can read is replaced when its document changes", async () => {
  const one = await world.retrievalOf("one");
  const bus = await world.connect("newer");
  await bus.append(vectorsSubject("concepts", "acme", "shop", "delivery"), encode({ v: 1_000 }));
  await world.indexerOf("indexer");
  await indexed(one, await fill(one));
  await waitUntil(async () => documentsOf(await ask(one, BY_MEANING)).includes("delivery"), {
    what: "a document to be found by its meaning",
  });
});

test("the scale of a model that was replaced under its name is not that of the next one, which is measured soon", async () => {
  const bus = await world.connect("scale");
  const thresholds = new Thresholds(bus, { space: "concepts", log: silentLog });
  const store = async (length: number): Promise<void> => {
    const random = randomOf(length);
    for (let n = 0; n < 10; n++) {
      const vector = unitLength(Float32Array.from({ length }, () => random.next() - 0.2))!;
      const address = { tenant: "acme", collection: "shop", document: `d${n}`, revision: n + 1 };
      await bus.append(
        vectorsSubject("concepts", "acme", "shop", address.document),
        encodeRecord({ ...address, language: "en", hashes: ["h"], vectors: [vector] }),
      );
    }
  };
  const unknown = thresholds.of("nobody", "en", 8);
  await store(8);
  await thresholds.ready("acme");
  const first = thresholds.of("acme", "en", 8);
  expect(first).not.toBe(unknown);
  expect(thresholds.of("acme", "en", 12)).toBe(unknown);
  await store(12);
  await waitUntil(() => thresholds.of("acme", "en", 12) !== unknown, { what: "the other model's scale" });
  expect(thresholds.of("acme", "en", 8)).toBe(unknown);
});

// One suite for every index of vectors: in memory, compared and by graph; Qdrant as a small server plays it, its requests
// held against Qdrant's description; and a real Qdrant where QDRANT_URL names one.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unitLength } from "#actors/knowledge/embeddings/unit-length.ts";
import { EmbeddedIndex } from "#actors/knowledge/vectors/embedded-index.ts";
import { graphFactory } from "#actors/knowledge/vectors/graph.ts";
import { QdrantRequests } from "#actors/knowledge/vectors/qdrant-client.ts";
import { QdrantIndex } from "#actors/knowledge/vectors/qdrant-index.ts";
import type { VectorDocument, VectorHit, VectorIndex } from "#actors/knowledge/vectors/vector-index.ts";
import { startTestQdrant, type TestQdrant } from "#test/harness/qdrant.ts";
import { randomOf } from "#test/harness/random.ts";

interface Adapter {
  readonly name: string;
  /** An index of its own for each model. */
  open(model: string, dimensions?: number): Promise<VectorIndex>;
  start?(): Promise<void>;
  end?(): Promise<void>;
}

const real = process.env.QDRANT_URL;
console.log(
  real
    ? `The suite runs against the Qdrant at ${new URL(real).host} too${process.env.QDRANT_API_KEY ? ", with a key" : ""}.`
    : "QDRANT_URL is not set: the suite did not run against a real Qdrant.",
);
const prefix = `test-${process.pid}-${Date.now().toString(36)}`;
let fake: TestQdrant;

const adapters: Adapter[] = [
  { name: "embedded, compared", open: async (_, dimensions) => new EmbeddedIndex({ dimensions }) },
  {
    name: "embedded, by graph",
    open: async (_, dimensions) =>
      new EmbeddedIndex({ dimensions, makeGraph: await graphFactory(), exactMost: 2 }),
  },
  {
    name: "Qdrant, played",
    start: async () => {
      fake = await startTestQdrant({ apiKey: "secret" });
    },
    open: async (model, dimensions) =>
      new QdrantIndex({ url: fake.url, apiKey: "secret", prefix, model, dimensions }),
    end: async () => {
      await fake.stop();
      expect(fake.faults ?? []).toEqual([]);
    },
  },
  ...(real
    ? [
        {
          name: "Qdrant at QDRANT_URL",
          open: async (model: string, dimensions?: number) =>
            new QdrantIndex({ url: real, apiKey: process.env.QDRANT_API_KEY, prefix, model, dimensions }),
          end: () => dropTestCollections(real),
        },
      ]
    : []),
];

/** By the same way as the product: its address, its key. */
async function dropTestCollections(url: string): Promise<void> {
  const apiKey = process.env.QDRANT_API_KEY;
  const requests = new QdrantRequests({ url, apiKey, timeoutMs: 60_000, retries: 2 });
  const { collections } = await requests.send("collections", (client) => client.getCollections());
  for (const { name } of collections)
    if (name.startsWith(prefix)) await requests.send("drop", (client) => client.deleteCollection(name));
}

const unit = (...numbers: number[]): Float32Array => unitLength(Float32Array.from(numbers))!;
const X = unit(1, 0, 0);
const Y = unit(0, 1, 0);
const Z = unit(0, 0, 1);

function document(
  id: string,
  vectors: Float32Array[],
  options: Partial<VectorDocument> = {},
): VectorDocument {
  return {
    tenant: "acme",
    collection: "shop",
    document: id,
    revision: 1,
    language: "en",
    hashes: vectors.map((_, n) => `${id}-${n}`),
    vectors,
    ...options,
  };
}

const ask = (index: VectorIndex, vector: Float32Array, options: object = {}): Promise<VectorHit[]> =>
  index.search({ tenant: "acme", collections: ["shop"], vector, limit: 10, ...options });
const found = (hits: readonly VectorHit[]): string[] =>
  hits.map(({ document: id, revision, passage }) => `${id}@${revision}#${passage}`);
let models = 0;
const fresh = (): string => `model-${models++}`;

describe.each(adapters)("$name", ({ open, start, end }) => {
  beforeAll(async () => start?.());
  afterAll(async () => end?.());

  test("the nearest first, with all that is known of them", async () => {
    const index = await open(fresh());
    expect(await ask(index, X)).toEqual([]);
    expect([await index.count(), await index.isEmpty()]).toEqual([0, true]);
    await index.upsert([document("a", [X, Y]), document("b", [unit(1, 1, 0)], { language: "nl" })]);
    expect(await index.isEmpty()).toBe(false);
    const hits = await ask(index, X);
    expect(found(hits)).toEqual(["a@1#0", "b@1#0", "a@1#1"]);
    expect(hits[0]).toMatchObject({ collection: "shop", document: "a", language: "en", hash: "a-0" });
    expect(hits.map(({ score }) => Math.round(score * 1_000))).toEqual([1_000, 707, 0]);
    expect(found(await ask(index, X, { limit: 1 }))).toEqual(["a@1#0"]);
    expect(await index.count()).toBe(3);
    await index.close();
  });

  test("tenants, collections and languages are kept apart; an unknown language is in each", async () => {
    const index = await open(fresh());
    await index.upsert([
      document("mine", [X]),
      document("mine", [X], { tenant: "other" }),
      document("manual", [X], { collection: "manuals" }),
      document("dutch", [X], { language: "nl" }),
      document("code", [X], { language: "und" }),
    ]);
    const names = async (options: object): Promise<string[]> =>
      (await ask(index, X, options)).map((hit) => hit.document).sort();
    expect(await names({})).toEqual(["code", "dutch", "mine"]);
    expect(await names({ languages: ["en"] })).toEqual(["code", "mine"]);
    expect(await names({ languages: ["nl", "en"] })).toEqual(["code", "dutch", "mine"]);
    expect(await names({ languages: ["fr"] })).toEqual(["code"]);
    expect(await names({ collections: ["shop", "manuals", "none"] })).toEqual([
      "code",
      "dutch",
      "manual",
      "mine",
    ]);
    expect(await names({ collections: [] })).toEqual([]);
    expect(await names({ tenant: "nobody" })).toEqual([]);
    expect(await index.count("other")).toBe(1);
  });

  test("a revision replaces the lower ones, repeats replace themselves, what comes late changes nothing", async () => {
    const index = await open(fresh());
    await index.upsert([document("a", [X, Y], { revision: 5 })]);
    await index.upsert([document("a", [Z], { revision: 9 })]);
    expect(found(await ask(index, X))).toEqual(["a@9#0"]);
    await index.upsert([document("a", [X, Y], { revision: 5 })]);
    await index.upsert([document("a", [Z, Y], { revision: 9 })]);
    expect(found(await ask(index, Z))).toEqual(["a@9#0", "a@9#1"]);
    await index.upsert([document("a", [Z], { revision: 9 })]);
    expect(found(await ask(index, Z))).toEqual(["a@9#0"]);
    // Both in one call, in the wrong order, and moved to another language.
    await index.upsert([
      document("a", [X], { revision: 12, language: "nl" }),
      document("a", [Y], { revision: 11 }),
    ]);
    expect(found(await ask(index, X))).toEqual(["a@12#0"]);
    expect(await index.count()).toBe(1);
  });

  test("deletions take out what they name and nothing newer", async () => {
    const index = await open(fresh());
    await index.remove([{ tenant: "acme", collection: "shop", document: "never", revision: 1 }]);
    await index.upsert([document("a", [X], { revision: 5 }), document("b", [X, Y], { revision: 6 })]);
    await index.remove([{ tenant: "acme", collection: "shop", document: "a", revision: 4 }]);
    await index.remove([{ tenant: "other", collection: "shop", document: "a", revision: 9 }]);
    expect(await index.count()).toBe(3);
    await index.remove([{ tenant: "acme", collection: "shop", document: "a", revision: 7 }]);
    expect(found(await ask(index, X))).toEqual(["b@6#0", "b@6#1"]);
    await index.upsert([document("b", [], { revision: 8 })]);
    expect(await index.count()).toBe(0);
  });

  test("a collection, or all of a tenant, goes at once", async () => {
    const index = await open(fresh());
    await index.upsert([
      document("a", [X]),
      document("a", [X], { collection: "manuals" }),
      document("a", [X], { tenant: "other" }),
    ]);
    await index.erase("acme", "shop");
    expect(await index.count("acme")).toBe(1);
    await index.erase("acme");
    expect([await index.count("acme"), await index.count()]).toEqual([0, 1]);
    await index.erase("nobody");
  });

  test("vectors of another dimension are refused whole, and live beside in an index of their own", async () => {
    const model = fresh();
    const index = await open(model, 3);
    await index.upsert([document("a", [X])]);
    const wide = unit(1, 0, 0, 0);
    const refused = { code: "vectors.dimension" };
    await expect(index.upsert([document("b", [Y]), document("c", [wide])])).rejects.toMatchObject(refused);
    await expect(ask(index, wide)).rejects.toMatchObject(refused);
    expect(found(await ask(index, X))).toEqual(["a@1#0"]);
    const wider = await open(model, 4);
    expect(await ask(wider, wide)).toEqual([]);
    await wider.upsert([document("w", [wide])]);
    expect(found(await ask(wider, wide))).toEqual(["w@1#0"]);
    await expect(ask(wider, X)).rejects.toMatchObject(refused);
    expect(found(await ask(index, X))).toEqual(["a@1#0"]);
  });

  test("any ids, and after any history exactly what a list of documents would find", async () => {
    const index = await open(fresh());
    const { next: random, pick } = randomOf(7);
    const ids = ["a", "a.b", "*", ">", "__proto__", "a/b", "ä\u00e9", "x".repeat(256)];
    const model = new Map<string, VectorDocument>();
    for (let revision = 1; revision <= 40; revision++) {
      const id = pick(ids);
      const vectors = Array.from({ length: Math.floor(random() * 4) }, () =>
        unit(random() - 0.5, random() - 0.5, random() - 0.5),
      );
      const given = document(id, vectors, {
        revision,
        language: pick(["en", "nl", "und"]),
        tenant: pick(["acme", "*"]),
      });
      model.set(`${given.tenant} ${id}`, given);
      if (vectors.length === 0 && random() < 0.5) await index.remove([given]);
      else await index.upsert([given]);
    }
    for (const languages of [["en"], ["nl", "en"], undefined]) {
      const vector = unit(random(), random(), random());
      const expected = [...model.values()]
        .filter(
          ({ tenant, language }) =>
            tenant === "acme" && (!languages || ["und", ...languages].includes(language)),
        )
        .flatMap(({ document: id, revision, vectors }) =>
          vectors.map((each, passage) => ({
            name: `${id}@${revision}#${passage}`,
            score: each[0]! * vector[0]! + each[1]! * vector[1]! + each[2]! * vector[2]!,
          })),
        )
        .sort((a, b) => b.score - a.score);
      const hits = await ask(index, vector, { limit: 100, ...(languages ? { languages } : {}) });
      expect(found(hits).sort()).toEqual(expected.map(({ name }) => name).sort());
      for (const [n, { score }] of hits.entries())
        expect(Math.abs(score - expected[n]!.score)).toBeLessThan(0.002);
    }
  });
});

// Documents whose vectors are refused, by the model or by the index alone: dead letters, which hold up nobody.
import { afterEach, beforeEach, expect, test } from "vitest";
import { INDEXER_ROLE } from "#actors/knowledge/readers.ts";
import { encode } from "#contracts/codec.ts";
import { knowledgeSubject } from "#contracts/subjects.ts";
import { deadLettersOf } from "#ops/compose/dead-letters.ts";
import { reindexDocuments } from "#ops/compose/reindex.ts";
import type { Retrieval } from "#ops/compose/retrieval.ts";
import type { DeadLetters } from "#runtime/actor/dead-letters.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { startTestQdrant, type TestQdrant } from "#test/harness/qdrant.ts";
import { ask, BY_MEANING, documentsOf, fill, indexed, VectorWorld } from "#test/harness/vectors.ts";
import { waitUntil } from "#test/harness/wait.ts";

let world: VectorWorld;
let qdrant: TestQdrant;
let dead: DeadLetters;
let one: Retrieval;

beforeEach(async () => {
  world = await VectorWorld.start();
  qdrant = await startTestQdrant();
  const playing = qdrant;
  world.cleanups.push(async () => {
    await playing.stop();
    expect(playing.faults ?? []).toEqual([]);
  });
  const { bus, deployment } = await world.contextOf("operator", qdrant);
  dead = deadLettersOf(bus, deployment);
  await world.indexerOf("indexer", qdrant);
  one = await world.retrievalOf("one", qdrant);
});
afterEach(() => world.stop());

const put = async (text = "Two years on everything."): Promise<number> =>
  (await one.store.put("acme", "shop", "warranty", { title: "Warranty", text, locale: "en" })).revision;

/** Answers 400 to the first so many upserts that name the document; to any of them when none is named. */
function refuse(document = "", most = Number.POSITIVE_INFINITY): { readonly refused: number } {
  const counts = { refused: 0 };
  qdrant.interfere((path, response, body) => {
    if (!path.startsWith("PUT") || !path.endsWith("/points")) return false;
    if (!JSON.stringify(body).includes(`"document":"${document}`)) return false;
    if (++counts.refused > most) return false;
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ status: { error: "Wrong input" }, time: 0 }));
    return true;
  });
  return counts;
}

let asked = 0;
/** In words of its own each time, so that nothing remembered answers. */
const findsByMeaning = async (question: string, document: string): Promise<boolean> =>
  documentsOf(await ask(one, `${question} Case ${asked++}.`)).some((found) => found.startsWith(document));

test("a document that the index alone refuses is given up, and nobody else waits for it", async () => {
  refuse("warranty");
  const revision = await put();
  await indexed(one, await fill(one));
  expect(await findsByMeaning(BY_MEANING, "delivery")).toBe(true);
  expect(documentsOf(await ask(one, "How long is the warranty?"))).toEqual(["warranty"]);
  expect(await findsByMeaning("My lamp is broken.", "warranty")).toBe(false);
  const { letters } = await dead.list({ stream: "KNOWLEDGE", kind: "knowledge", tenant: "acme" });
  expect(letters).toMatchObject([
    {
      ...{ kind: "knowledge", tenant: "acme", key: "warranty" },
      reason: expect.stringMatching(/shop\/warranty.*400: Wrong input/),
    },
  ]);
  const letter = JSON.stringify(await dead.show(letters[0]?.reference ?? ""));
  expect(letter).not.toContain("Two years");

  // Whoever fills an empty index, or makes a new one, leaves it out as well.
  await qdrant.lose();
  await world.indexerOf("second", qdrant);
  await waitUntil(() => findsByMeaning(BY_MEANING, "delivery"), { what: "the others in the index again" });
  const { bus, config } = await world.contextOf("reindex", qdrant);
  await dead.remove(letters[0]?.reference ?? "");
  expect(await reindexDocuments(bus, config, {})).toMatchObject({ documents: 4, refused: 1 });

  qdrant.interfere(undefined);
  expect(await dead.redrive(letters[0]?.reference ?? "")).toBe("redriven");
  await waitUntil(() => findsByMeaning("My lamp is broken.", "warranty"), { what: "its vectors" });
  expect(one.retriever.changeOf("acme", "shop", "warranty")?.revision).toBeGreaterThan(revision);
  await waitUntil(async () => (await dead.list({})).letters.length === 0, { what: "no letter" });
});

test("changed it is tried again, and its letter asks for nothing any more", async () => {
  refuse("warranty");
  await indexed(one, await put());
  const [letter] = (await dead.list({})).letters;
  qdrant.interfere(undefined);
  await indexed(one, await put("Three years on everything."));
  expect(await findsByMeaning("My lamp is broken.", "warranty")).toBe(true);
  expect(await dead.redrive(letter?.reference ?? "")).toBe("settled");
});

test("what refuses a document in passing costs it nothing", async () => {
  const counts = refuse("warranty", 2);
  await indexed(one, await put());
  expect(counts.refused).toBeGreaterThan(2);
  expect((await dead.list({})).letters).toEqual([]);
  expect(await findsByMeaning("My lamp is broken.", "warranty")).toBe(true);
});

test("an index that many documents are missing from takes over only by force, and the next run begins anew", async () => {
  await fill(one);
  const warranties = ["a", "b", "c", "d", "e", "f"].map((each) => `warranty-${each}`);
  const text = { title: "Warranty", text: "Two years on everything.", locale: "en" };
  let last = 0;
  for (const id of warranties) last = (await one.store.put("acme", "shop", id, text)).revision;
  await indexed(one, last);
  const before = await qdrant.collections();
  refuse("warranty-");
  const { bus, config } = await world.contextOf("reindex", qdrant);
  await expect(reindexDocuments(bus, config, {})).rejects.toMatchObject({
    code: "vectors.incomplete",
    detail: expect.stringMatching(/^6 of 9 documents .* acme\/shop\/warranty-a .*400: Wrong input/),
  });
  expect([...(await qdrant.aliases()).values()]).toEqual(before);
  expect((await dead.list({})).letters).toEqual([]);
  expect(await findsByMeaning("My lamp is broken.", "warranty-")).toBe(true);

  expect(await reindexDocuments(bus, config, { force: true })).toMatchObject({ documents: 9, refused: 6 });
  expect((await dead.list({ kind: "knowledge" })).letters.map(({ key }) => key)).toEqual(warranties);
  expect(await findsByMeaning("My lamp is broken.", "warranty-")).toBe(false);
  expect(await findsByMeaning(BY_MEANING, "delivery")).toBe(true);

  qdrant.interfere(undefined);
  expect(await reindexDocuments(bus, config, {})).toMatchObject({ documents: 9, embedded: 0, refused: 0 });
  expect(await findsByMeaning("My lamp is broken.", "warranty-")).toBe(true);
  expect(await qdrant.collections()).toHaveLength(1);
});

test("of a few documents half of them refused is not few: what was in use stays in use", async () => {
  await indexed(one, await fill(one));
  const warranty = { title: "Warranty", text: "Two years on everything.", locale: "en" };
  await indexed(one, (await one.store.put("acme", "shop", "warranty", warranty)).revision);
  const { bus, config } = await world.contextOf("reindex", qdrant);
  refuse("warranty");
  expect(await reindexDocuments(bus, config)).toMatchObject({ documents: 4, refused: 1 });
  world.model.refuses = "A refund";
  await expect(reindexDocuments(bus, config, { embedAll: true })).rejects.toMatchObject({
    code: "vectors.incomplete",
    detail: expect.stringMatching(/^2 of 4 documents /),
  });
  expect(await findsByMeaning("I want a reimbursement", "refunds")).toBe(true);
});

test("documents that are gone do not make few of the many that are refused", async () => {
  await fill(one);
  const { bus, config } = await world.contextOf("reindex", qdrant);
  const gone = { tenant: "acme", collection: "shop", title: "", text: "", deleted: true, at: 1 };
  const ids = Array.from({ length: 600 }, (_, n) => `gone-${n}`);
  await Promise.all(
    ids.map((document) =>
      bus.append(knowledgeSubject("acme", "shop", document), encode({ v: 1, ...gone, document })),
    ),
  );
  const text = { title: "Warranty", text: "Two years on everything.", locale: "en" };
  let last = 0;
  for (const each of ["a", "b", "c", "d", "e", "f"])
    last = (await one.store.put("acme", "shop", `warranty-${each}`, text)).revision;
  await indexed(one, last);
  refuse("warranty-");
  await expect(reindexDocuments(bus, config, {})).rejects.toMatchObject({
    code: "vectors.incomplete",
    detail: expect.stringMatching(/^6 of 9 documents /),
  });
});

test("a document that is refused and then changed while all are indexed anew is no letter once it is taken", async () => {
  const revision = await put();
  await indexed(one, await fill(one));
  let changed: Promise<number> | undefined;
  qdrant.interfere((path, response, body) => {
    if (!path.startsWith("PUT") || !JSON.stringify(body).includes(`"revision":${revision},`)) return false;
    changed ??= put("Three years on everything.");
    void changed.then(() => {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ status: { error: "Wrong input" }, time: 0 }));
    });
    return true;
  });
  const { bus, config } = await world.contextOf("reindex", qdrant);
  expect(await reindexDocuments(bus, config, {})).toMatchObject({ refused: 0 });
  expect((await dead.list({})).letters).toEqual([]);
  expect(await findsByMeaning("My lamp is broken.", "warranty")).toBe(true);
});

test("a request that is too large for the model or for who stands before Qdrant is halved, and no document is given up", async () => {
  world.model.mostTexts = 5;
  const most = 7;
  let tooLarge = 0;
  qdrant.interfere((path, response, body) => {
    if (!path.startsWith("PUT") || !path.endsWith("/points")) return false;
    if ((body as { points: unknown[] }).points.length <= most) return false;
    tooLarge++;
    response.writeHead(413, { "content-type": "text/html" });
    response.end("<h1>413 Request Entity Too Large</h1>");
    return true;
  });
  const rooms = Array.from({ length: 40 }, (_, n) => `# Room ${n}\nTable ${n} stands there.`);
  await indexed(one, await put([...rooms, "# Cover\nTwo years on everything."].join("\n\n")));
  expect((await dead.list({})).letters).toEqual([]);
  expect(await findsByMeaning("My lamp is broken.", "warranty")).toBe(true);
  // The next one begins with what is taken.
  const before = tooLarge;
  await indexed(one, await put([...rooms, "# Cover\nThree years on everything."].join("\n\n")));
  expect([before, tooLarge]).toEqual([3, 3]);
});

test("an index that refuses everything has no document given up: it is tried until it takes them", async () => {
  const counts = refuse();
  const revision = await put();
  // Each try is a refusal of the document and one of what is nobody's; three tries would be all for a document.
  await waitUntil(() => counts.refused >= 8, { what: "four tries" });
  expect((await dead.list({})).letters).toEqual([]);
  qdrant.interfere(undefined);
  await indexed(one, revision);
  await waitUntil(() => findsByMeaning("My lamp is broken.", "warranty"), { what: "its vectors" });
});

test("a removal that the index refuses is tried until it is done: vectors of what is gone do not stay", async () => {
  await indexed(one, await put());
  let refused = 0;
  qdrant.interfere((path, response) => {
    if (!path.endsWith("/points/delete")) return false;
    refused++;
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ status: { error: "Wrong input" }, time: 0 }));
    return true;
  });
  await one.store.delete("acme", "shop", "warranty");
  await waitUntil(() => refused >= 4, { what: "four tries" });
  expect((await dead.list({})).letters).toEqual([]);
  qdrant.interfere(undefined);
  await waitUntil(async () => (await qdrant.points()) === 0, { what: "its vectors to be gone" });
});

test("a document that the model refuses is a letter too, and an indexer that was failing is so no more", async () => {
  const indexers = new Presence(await world.connect("looks"), INDEXER_ROLE);
  world.cleanups.push(async () => indexers.stop());
  const tells = (failing: number) => (): boolean =>
    indexers.live().some(({ info }) => info.failing === failing);
  await indexed(one, await fill(one));
  world.model.refuses = "Two years";
  world.model.mood = 503;
  await put();
  await waitUntil(tells(1), { what: "the indexer to say that it fails" });
  world.model.mood = "fine";
  await waitUntil(async () => (await dead.list({ kind: "knowledge" })).letters.length === 1, {
    what: "a letter",
  });
  const { letters } = await dead.list({ kind: "knowledge" });
  expect(letters).toMatchObject([{ reason: expect.stringContaining("embeddings.rejected") }]);
  await waitUntil(tells(0), { what: "the indexer to say that it works" });

  // A key that is refused from now on refuses whatever was taken before, remembered or not.
  world.model.mood = 401;
  await put("Three years on everything.");
  await waitUntil(tells(1), { what: "the indexer to say that it fails again" });
  expect((await dead.list({ kind: "knowledge" })).letters).toHaveLength(1);
});

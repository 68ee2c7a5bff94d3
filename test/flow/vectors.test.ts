// Documents found by their meaning: made by the indexer, searched in memory, in Qdrant and by the role `retrieval`; what
// happens to repeats, to changes, and while embeddings, Qdrant or the role are away.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ProvenRetriever } from "#actors/knowledge/port.ts";
import { INDEXER_ROLE } from "#actors/knowledge/readers.ts";
import { serveRetrieval } from "#actors/knowledge/retrieval-service.ts";
import { decodeFound, encodeAsk, encodeFound, type Found } from "#actors/knowledge/retrieval-wire.ts";
import { encodeKnowledgeEvent } from "#contracts/knowledge.ts";
import { CORE, KNOWLEDGE, knowledgeSubject } from "#contracts/subjects.ts";
import { startIndexerRole } from "#ops/compose/indexer.ts";
import { reindexDocuments } from "#ops/compose/reindex.ts";
import { startRemoteRetrieval, startRetrieval, startRetrievalRole } from "#ops/compose/retrieval.ts";
import { messageAt } from "#runtime/nats/reader.ts";
import { announce } from "#runtime/observe/presence.ts";
import { stretchPatience } from "#runtime/within.ts";
import type { EmbeddingModel } from "#test/harness/embedding-model.ts";
import { PASSAGE, silentLog } from "#test/harness/knowledge.ts";
import { startTestQdrant, type TestQdrant } from "#test/harness/qdrant.ts";
import { ask, BY_MEANING, documentsOf, fill, indexed, SHOP, VectorWorld } from "#test/harness/vectors.ts";
import { PATIENCE_MS, SLOW_MACHINE, waitUntil } from "#test/harness/wait.ts";

let world: VectorWorld;
let model: EmbeddingModel;

beforeEach(async () => {
  world = await VectorWorld.start();
  model = world.model;
});
afterEach(() => world.stop());

describe.each(["in memory", "in Qdrant"])("vectors %s", (where) => {
  let qdrant: TestQdrant | undefined;
  beforeEach(async () => {
    qdrant = where === "in Qdrant" ? await startTestQdrant() : undefined;
    if (!qdrant) return;
    const playing = qdrant;
    world.cleanups.push(async () => {
      await playing.stop();
      expect(playing.faults ?? []).toEqual([]);
    });
  });

  test("an acknowledged document is found by another wording, and nothing is found where nothing fits", async () => {
    await world.indexerOf("indexer", qdrant);
    const one = await world.retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
    expect(documentsOf(await ask(one, "I want a reimbursement of the parcel"))).toContain("refunds");
    expect(await ask(one, "Will it rain in Tokyo tomorrow?")).toEqual([]);
    expect(await ask(one, BY_MEANING, { tenant: "other" })).toEqual([]);
    // A vector that was tried for and not got is not tried for again: words alone.
    expect(await ask(one, `${BY_MEANING} Please?`, { vector: null })).toEqual([]);
    const asked = model.texts.length;
    await ask(one, BY_MEANING);
    expect(model.texts).toHaveLength(asked);
  });

  test("what was found before a document had its vectors is not found again once it has them", async () => {
    const one = await world.retrievalOf("one", qdrant);
    const before = await startIndexerRole(await world.contextOf("before", qdrant));
    await indexed(one, (await one.store.put("acme", "shop", "refunds", SHOP.refunds)).revision);
    await before.stop();
    const { revision } = await one.store.put("acme", "shop", "delivery", SHOP.delivery);
    const isRead = (): boolean => one.retriever.changeOf("acme", "shop", "delivery")?.revision === revision;
    await waitUntil(isRead, { what: "the document's words" });
    expect(await ask(one, BY_MEANING)).toEqual([]);
    await world.indexerOf("after", qdrant);
    const isFound = async (): Promise<boolean> =>
      documentsOf(await ask(one, BY_MEANING)).includes("delivery");
    await waitUntil(isFound, { what: "its vectors" });
  });

  test("an answer is as old as the vectors that it was found by", async () => {
    const one = await world.retrievalOf("one", qdrant);
    const revision = await fill(one);
    const at = (position: number) => (): boolean => one.cache.position().revision === position;
    await waitUntil(at(revision), { what: "words alone where nobody makes vectors" });
    const slow = announce(
      await world.connect("slow"),
      { role: INDEXER_ROLE, instance: "slow" },
      () => ({ space: "concepts", position: revision - 1, vectors: 0, failing: 0 }),
      () => false,
    );
    world.cleanups.push(async () => slow.stop());
    // In memory a process knows itself that it misses those of the first change.
    await waitUntil(at(qdrant ? revision - 1 : 0), { what: "the vectors to count" });
  });

  test("changes and deletions show at once, a section that stays is not embedded again", async () => {
    await world.indexerOf("indexer", qdrant);
    const one = await world.retrievalOf("one", qdrant);
    const sections = (first: string): string =>
      `## Parcels\n\n${first}\n\n## Broken things\n\nA repair takes a week.`;
    const put = async (first: string): Promise<void> => {
      const document = { title: "Service", text: sections(first), locale: "en" };
      await indexed(one, (await one.store.put("acme", "shop", "service", document)).revision);
    };
    await put("A parcel takes two days.");
    const before = model.texts.length;
    expect(before).toBe(2);
    await put("A parcel takes three days.");
    expect(model.texts).toHaveLength(before + 1);
    expect((await ask(one, BY_MEANING))[0]?.text).toContain("three days");
    const gone = await one.store.delete("acme", "shop", "service");
    await indexed(one, gone?.revision ?? 0);
    expect(await ask(one, BY_MEANING)).toEqual([]);
  });

  test("repeats, late ones and other processes embed nothing twice and lose nothing", async () => {
    await world.indexerOf("indexer", qdrant);
    const one = await world.retrievalOf("one", qdrant);
    // A start costs nothing at a provider.
    expect(model.texts).toEqual([]);
    const last = await fill(one);
    await indexed(one, last);
    const before = model.texts.length;
    const stored = await messageAt(await world.connect("reader"), KNOWLEDGE, last);
    const bus = await world.connect("repeats");
    const { seq } = await bus.append(
      knowledgeSubject("acme", "shop", "login"),
      stored?.data ?? new Uint8Array(),
    );
    await bus.append("kb.acme.shop.junk", Uint8Array.of(1, 2, 3));
    const event = {
      v: 1,
      tenant: "acme",
      collection: "shop",
      document: "once",
      deleted: true,
      title: "",
      text: "",
      at: 0,
    } as const;
    const deleted = await bus.append(knowledgeSubject("acme", "shop", "once"), encodeKnowledgeEvent(event));
    await world.indexerOf("second", qdrant);
    const two = await world.retrievalOf("two", qdrant);
    await indexed(two, Math.max(seq, deleted.seq));
    expect(model.texts).toHaveLength(before);
    await waitUntil(async () => documentsOf(await ask(two, "credentials")).includes("login"), {
      what: "the vectors of a process that started later",
    });
    expect(documentsOf(await ask(two, BY_MEANING))).toEqual(["delivery"]);
  });

  test("a document that the model refuses is found by its words, and nobody waits for its vectors", async () => {
    await world.indexerOf("indexer", qdrant);
    const one = await world.retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    model.refuses = "Two years";
    const warranty = { title: "Warranty", text: "Two years on everything.", locale: "en" };
    await indexed(one, (await one.store.put("acme", "shop", "warranty", warranty)).revision);
    expect(documentsOf(await ask(one, "How long is the warranty?"))).toEqual(["warranty"]);
    expect(await ask(one, "My lamp is broken")).toEqual([]);
  });

  test("indexed anew beside traffic: known texts are not embedded, what changes meanwhile is not lost", async () => {
    await world.indexerOf("indexer", qdrant);
    const one = await world.retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    const { config } = await world.contextOf("reindex", qdrant);
    const bus = await world.connect("reindex");
    const before = model.texts.length;
    const put = async (id: string): Promise<void> => {
      const document = { title: id, text: "A parcel that is put meanwhile.", locale: "en" };
      await indexed(one, (await one.store.put("acme", "shop", id, document)).revision);
    };
    const writing = (async () => {
      for (let n = 0; n < 20; n++) await put(`meanwhile-${n}`);
    })();
    const done = await reindexDocuments(bus, config, {});
    await writing;
    expect(done.documents).toBeGreaterThanOrEqual(3);
    expect(model.texts.slice(before).filter((text) => text.includes(SHOP.refunds.text))).toEqual([]);
    const found = await ask(one, BY_MEANING, { limit: 24 });
    expect(documentsOf(found)).toHaveLength(21);
    expect((await reindexDocuments(bus, config, { embedAll: true })).embedded).toBe(23);
    expect(documentsOf(await ask(one, `${BY_MEANING} Now?`, { limit: 24 }))).toHaveLength(21);
    if (qdrant) expect(await qdrant.collections()).toHaveLength(1);
  });

  test("while embeddings fail, words answer and nobody waits; what was put meanwhile is made up for", async () => {
    await world.indexerOf("indexer", qdrant);
    const one = await world.retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    stretchPatience(1);
    model.mood = 500;
    const { revision } = await one.store.put("acme", "shop", "warranty", {
      title: "Warranty",
      text: "Two years on everything.",
      locale: "en",
    });
    await indexed(one, revision);
    expect(documentsOf(await ask(one, "How long is the warranty?"))).toEqual(["warranty"]);
    expect(await ask(one, "My lamp is broken")).toEqual([]);
    model.mood = "silent";
    expect(documentsOf(await ask(one, "What about warranty"))).toEqual(["warranty"]);
    model.mood = "fine";
    stretchPatience(SLOW_MACHINE);
    let question = 0;
    await waitUntil(
      async () => documentsOf(await ask(one, `My lamp ${question++} is broken`)).includes("warranty"),
      { what: "the vectors of what was put while embeddings failed" },
    );
  });
});

test("while Qdrant is away, words answer; then everything is there", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  await world.indexerOf("indexer", qdrant);
  const one = await world.retrievalOf("one", qdrant);
  await indexed(one, await fill(one));
  expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
  await qdrant.halt();
  const { revision } = await one.store.put("acme", "shop", "warranty", {
    title: "Warranty",
    text: "Two years on everything.",
    locale: "en",
  });
  await indexed(one, revision);
  expect(await ask(one, `${BY_MEANING} Tell me.`)).toEqual([]);
  expect(documentsOf(await ask(one, "How long is the warranty?"))).toEqual(["warranty"]);
  await qdrant.resume();
  let question = 0;
  await waitUntil(
    async () => documentsOf(await ask(one, `My lamp ${question++} is broken`)).includes("warranty"),
    { what: "the points of what was put while Qdrant was away" },
  );
});

test("points that Qdrant was not asked for show nobody another collection", async () => {
  const qdrant = await startTestQdrant();
  world.cleanups.push(() => qdrant.stop());
  let points: { payload: { collection: string } }[] = [];
  qdrant.interfere((path, response, body) => {
    if (path.endsWith("/points")) points = (body?.points as typeof points | undefined) ?? points;
    if (!path.endsWith("/points/query")) return false;
    response.writeHead(200, { "content-type": "application/json" });
    const found = points.map((point, id) => ({ ...point, id, version: 0, score: 0.99 }));
    response.end(JSON.stringify({ result: { points: found }, status: "ok", time: 0 }));
    return true;
  });
  await world.indexerOf("indexer", qdrant);
  const one = await world.retrievalOf("one", qdrant);
  await indexed(one, (await one.store.put("acme", "private", "login", SHOP.login)).revision);
  expect(points.map(({ payload }) => payload.collection)).toEqual(["private"]);
  expect(documentsOf(await ask(one, BY_MEANING, { collections: ["private"] }))).toEqual(["login"]);
  expect(await ask(one, BY_MEANING)).toEqual([]);
});

test("documents that are gone before the model has answered are not embedded, and nobody waits for them", async () => {
  await world.indexerOf("indexer");
  const one = await world.retrievalOf("one");
  const answers = Promise.withResolvers<void>();
  model.until = answers.promise;
  // More than an indexer works on at once.
  const documents = Array.from({ length: 70 }, (_, n) => `d${n}`);
  const text = ["One", "Two", "Three", "Four"].map((part) => `# ${part}\n\n${part}.`).join("\n\n");
  for (const title of documents) await one.store.put("acme", "shop", title, { title, text, locale: "en" });
  let last = 0;
  for (const document of documents)
    last = (await one.store.delete("acme", "shop", document))?.revision ?? last;
  await indexed(one, last);
  expect(model.texts).toEqual([]);
  answers.resolve();
  await indexed(one, await fill(one));
  expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
  // What was under way.
  const underWay = new Set(model.texts.filter((each) => /^d\d/.test(each)));
  expect(underWay.size).toBeLessThanOrEqual(2 * 32);
});

test("a role that cannot prove that it is current is not believed, and the next one is asked", async () => {
  const bus = await world.connect("roles");
  const answers = [false, false, true].map((fresh) => encodeFound({ passages: [PASSAGE], fresh }));
  const asked = bus.subscribe(CORE.retrieval, ({ respond }) => respond(answers.shift() ?? new Uint8Array()));
  const host = await world.started(startRemoteRetrieval(await world.contextOf("host")));
  // The server knows of each change before the next question comes over another connection.
  await bus.flush();
  expect(await ask(host, "Anything?")).toMatchObject([{ document: "d" }]);
  asked.stop();
  const stale = bus.subscribe(CORE.retrieval, ({ respond }) =>
    respond(encodeFound({ passages: [PASSAGE], fresh: false })),
  );
  await bus.flush();
  expect(await ask(host, "Anything else?")).toEqual([]);
  stale.stop();
  // Who is busy says so at once; the next one is asked, and after a few of them nobody is waited for.
  const busy = encodeFound({ passages: [], fresh: false, busy: true });
  const replies = [busy, busy, encodeFound({ passages: [PASSAGE], fresh: true })];
  let asks = 0;
  const full = bus.subscribe(CORE.retrieval, ({ respond }) => respond(replies[asks++] ?? busy));
  await bus.flush();
  expect(await ask(host, "Anything at all?")).toMatchObject([{ document: "d" }]);
  expect(await ask(host, "Nothing?")).toEqual([]);
  expect(asks).toBe(3 + 4);
  full.stop();
});

test("the role says at once that it is busy, beyond as many questions as could be answered in time", async () => {
  const bus = await world.connect("role");
  const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let held = 0;
  const retriever: ProvenRetriever = {
    fresh: () => true,
    settled: async () => {},
    changeOf: () => undefined,
    newestAt: 0,
    async retrieve() {
      if (++held === 256) asked.resolve();
      await answered.promise;
      return [];
    },
  };
  const service = serveRetrieval(bus, retriever, silentLog);
  const question = encodeAsk({ tenant: "acme", collections: ["shop"], question: "Any?", limit: 3 });
  const put = async (): Promise<Found> =>
    decodeFound(await bus.request(CORE.retrieval, question, PATIENCE_MS));
  const first = Promise.all(Array.from({ length: 256 }, put));
  await asked.promise;
  expect(await put()).toEqual({ passages: [], fresh: false, busy: true });
  answered.resolve();
  expect(new Set((await first).map(({ busy }) => busy))).toEqual(new Set([false]));
  expect(await put()).toMatchObject({ fresh: true, busy: false });
  // Asked just before it stops.
  const last = put();
  await service.stop();
  expect(await last).toMatchObject({ fresh: true });
});

test("a host without documents asks the role, and goes on without passages when it is away", async () => {
  await world.indexerOf("indexer");
  const host = await world.started(startRemoteRetrieval(await world.contextOf("host")));
  expect(await ask(host, BY_MEANING)).toEqual([]);
  const context = await world.contextOf("retrieval");
  const retrieval = await world.started(startRetrieval(context));
  const role = await world.started(startRetrievalRole(context, retrieval));
  const last = await fill(host);
  await indexed(host, last);
  const found = await waitUntil(
    async () => {
      const passages = await ask(host, BY_MEANING);
      return passages.length > 0 && passages;
    },
    { what: "the role to be asked again" },
  );
  expect(documentsOf(found)).toEqual(["delivery"]);
  expect(found[0]?.revision).toBe(host.retriever.changeOf("acme", "shop", "delivery")?.revision);
  // The host embedded the question, so that its caches have it; the role did not do it again.
  expect(model.texts.filter((text) => text === BY_MEANING)).toHaveLength(1);

  const gone = await host.store.delete("acme", "shop", "delivery");
  await indexed(host, gone?.revision ?? 0);
  expect(host.retriever.changeOf("acme", "shop", "delivery")?.revision).toBe(gone?.revision);
  expect(await ask(host, BY_MEANING)).toEqual([]);
  expect(host.retriever.fresh()).toBe(true);

  await role.stop();
  expect(await ask(host, "What about a refund?")).toEqual([]);

  // Cut off, it cannot know what has changed; questions are what makes it prove itself again.
  world.server.freeze();
  await waitUntil(() => !host.retriever.fresh(), { what: "the host to doubt itself" });
  world.server.thaw();
  await waitUntil(async () => (await ask(host, "Anything?")) && host.retriever.fresh(), {
    what: "the host to have proved itself",
  });
});

// Documents found by their meaning: made by the indexer, searched in memory, in Qdrant and by the role `retrieval`; what
// happens to repeats, to changes, and while embeddings, Qdrant or the role are away.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { INDEXER_ROLE } from "#actors/knowledge/readers.ts";
import { configSchema } from "#contracts/config.ts";
import type { Passage } from "#contracts/job.ts";
import { encodeKnowledgeEvent } from "#contracts/knowledge.ts";
import { KNOWLEDGE, knowledgeSubject, VECTORS } from "#contracts/subjects.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startIndexerRole } from "#ops/compose/indexer.ts";
import { reindexDocuments } from "#ops/compose/reindex.ts";
import {
  type Retrieval,
  startRemoteRetrieval,
  startRetrieval,
  startRetrievalRole,
} from "#ops/compose/retrieval.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messageAt, streamState } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { announce } from "#runtime/observe/presence.ts";
import { type EmbeddingModel, embeddingModel } from "#test/harness/embedding-model.ts";
import { silentLog } from "#test/harness/knowledge.ts";
import { startTestNats, type TestNats } from "#test/harness/nats.ts";
import { type FakeQdrant, fakeQdrant } from "#test/harness/qdrant.ts";
import { waitUntil } from "#test/harness/wait.ts";

let server: TestNats;
let model: EmbeddingModel;
let deployment: Deployment;
const cleanups: (() => Promise<unknown> | undefined)[] = [];

beforeEach(async () => {
  [server, model] = await Promise.all([startTestNats(), embeddingModel()]);
  cleanups.push(() => Promise.all([server.stop(), model.stop()]));
  const bus = await connect("provision");
  deployment = await provision(bus, { shards: 1, pools: [] });
});
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function connect(name: string): Promise<Bus> {
  const bus = await connectBus({ servers: server.url, name, log: silentLog });
  cleanups.push(() => bus.close());
  return bus;
}

/** A process in all but the process. */
async function contextOf(name: string, qdrant?: FakeQdrant): Promise<RoleContext> {
  const config = configSchema.parse({
    // The model of these tests has few axes, so unrelated texts are nearer than a real one puts them.
    embeddings: { baseUrl: model.baseUrl, model: "concepts", thresholds: { en: 0.6, nl: 0.6, und: 0.6 } },
    ...(qdrant ? { qdrant: { url: qdrant.url } } : {}),
  });
  return { bus: await connect(name), deployment, config, log: silentLog, clock: systemClock, instance: name };
}

async function started<T extends { stop(): Promise<void> }>(starting: Promise<T> | T): Promise<T> {
  const part = await starting;
  cleanups.push(() => part.stop());
  return part;
}
const retrievalOf = async (name: string, qdrant?: FakeQdrant): Promise<Retrieval> =>
  started(startRetrieval(await contextOf(name, qdrant)));
const indexerOf = async (name: string, qdrant?: FakeQdrant): Promise<RunningRole> =>
  started(startIndexerRole(await contextOf(name, qdrant)));

const ask = (
  { retriever }: Pick<Retrieval, "retriever">,
  question: string,
  options: object = {},
): Promise<Passage[]> =>
  retriever.retrieve({ tenant: "acme", collections: ["shop"], question, locale: "en", limit: 3, ...options });
const documentsOf = (passages: readonly Passage[]): string[] => [
  ...new Set(passages.map((each) => each.document)),
];

const SHOP = {
  delivery: { title: "Delivery", text: "A parcel is with you in two days.", locale: "en" },
  refunds: { title: "Refunds", text: "A refund takes a week.", locale: "en" },
  login: { title: "Your password", text: "Choose a new password on the page of your account.", locale: "en" },
};

async function fill({ store }: Retrieval, tenant = "acme"): Promise<number> {
  let last = 0;
  for (const [id, document] of Object.entries(SHOP))
    last = (await store.put(tenant, "shop", id, document)).revision;
  return last;
}
const indexed = async ({ store }: Retrieval, revision: number): Promise<void> =>
  expect(await store.waitIndexed(revision, 10_000)).toBe(true);

/** Shares no word with the document that answers it. */
const BY_MEANING = "When does my shipment arrive?";

describe.each(["in memory", "in Qdrant"])("vectors %s", (where) => {
  let qdrant: FakeQdrant | undefined;
  beforeEach(async () => {
    qdrant = where === "in Qdrant" ? await fakeQdrant() : undefined;
    if (!qdrant) return;
    const playing = qdrant;
    cleanups.push(async () => {
      await playing.stop();
      expect(playing.faults ?? []).toEqual([]);
    });
  });

  test("an acknowledged document is found by another wording, and nothing is found where nothing fits", async () => {
    await indexerOf("indexer", qdrant);
    const one = await retrievalOf("one", qdrant);
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
    const one = await retrievalOf("one", qdrant);
    const before = await startIndexerRole(await contextOf("before", qdrant));
    await indexed(one, (await one.store.put("acme", "shop", "refunds", SHOP.refunds)).revision);
    await before.stop();
    const { revision } = await one.store.put("acme", "shop", "delivery", SHOP.delivery);
    const isRead = (): boolean => one.retriever.revisionOf("acme", "shop", "delivery") === revision;
    await waitUntil(isRead, { what: "the document's words" });
    expect(await ask(one, BY_MEANING)).toEqual([]);
    await indexerOf("after", qdrant);
    const isFound = async (): Promise<boolean> =>
      documentsOf(await ask(one, BY_MEANING)).includes("delivery");
    await waitUntil(isFound, { what: "its vectors" });
  });

  test("an answer is as old as the vectors that it was found by", async () => {
    const one = await retrievalOf("one", qdrant);
    const revision = await fill(one);
    const at = (position: number) => (): boolean => one.cache.position() === position;
    await waitUntil(at(revision), { what: "words alone where nobody makes vectors" });
    const slow = announce(
      await connect("slow"),
      { role: INDEXER_ROLE, instance: "slow", where: "", startedAt: 0 },
      () => ({ space: "concepts", position: revision - 1, vectors: 0, failing: 0 }),
      () => false,
    );
    cleanups.push(async () => slow.stop());
    await waitUntil(at(revision - 1), { what: "the vectors to count" });
  });

  test("changes and deletions show at once, a section that stays is not embedded again", async () => {
    await indexerOf("indexer", qdrant);
    const one = await retrievalOf("one", qdrant);
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
    await indexerOf("indexer", qdrant);
    const one = await retrievalOf("one", qdrant);
    const last = await fill(one);
    await indexed(one, last);
    const embedded = model.texts.length;
    const stored = await messageAt(await connect("reader"), KNOWLEDGE, last);
    const bus = await connect("repeats");
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
    await indexerOf("second", qdrant);
    const two = await retrievalOf("two", qdrant);
    await indexed(two, Math.max(seq, deleted.seq));
    expect(model.texts).toHaveLength(embedded);
    await waitUntil(async () => documentsOf(await ask(two, "credentials")).includes("login"), {
      what: "the vectors of a process that started later",
    });
    expect(documentsOf(await ask(two, BY_MEANING))).toEqual(["delivery"]);
  });

  test("indexed anew beside traffic: known texts are not embedded, what changes meanwhile is not lost", async () => {
    await indexerOf("indexer", qdrant);
    const one = await retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
    const { config } = await contextOf("reindex", qdrant);
    const bus = await connect("reindex");
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
    if (qdrant) expect([...qdrant.collections.keys()]).toHaveLength(1);
  });

  test("while embeddings fail, words answer and nobody waits; what was put meanwhile is made up for", async () => {
    await indexerOf("indexer", qdrant);
    const one = await retrievalOf("one", qdrant);
    await indexed(one, await fill(one));
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
    let question = 0;
    await waitUntil(
      async () => documentsOf(await ask(one, `My lamp ${question++} is broken`)).includes("warranty"),
      { what: "the vectors of what was put while embeddings failed" },
    );
  });
});

test("while Qdrant is away, words answer; then everything is there", async () => {
  const qdrant = await fakeQdrant();
  cleanups.push(() => qdrant.stop());
  await indexerOf("indexer", qdrant);
  const one = await retrievalOf("one", qdrant);
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

test("a host without documents asks the role, and goes on without passages when it is away", async () => {
  await indexerOf("indexer");
  const host = await started(startRemoteRetrieval(await contextOf("host")));
  expect(await ask(host, BY_MEANING)).toEqual([]);
  const context = await contextOf("retrieval");
  const retrieval = await started(startRetrieval(context));
  const role = await started(startRetrievalRole(context, retrieval));
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
  expect(found[0]?.revision).toBe(host.retriever.revisionOf("acme", "shop", "delivery"));
  // The host embedded the question, so that its caches have it; the role did not do it again.
  expect(model.texts.filter((text) => text === BY_MEANING)).toHaveLength(1);

  const gone = await host.store.delete("acme", "shop", "delivery");
  await indexed(host, gone?.revision ?? 0);
  expect(host.retriever.revisionOf("acme", "shop", "delivery")).toBe(gone?.revision);
  expect(await ask(host, BY_MEANING)).toEqual([]);
  expect(host.retriever.fresh()).toBe(true);

  await role.stop();
  expect(await ask(host, "What about a refund?")).toEqual([]);

  // Cut off, it cannot know what has changed; questions are what makes it prove itself again.
  server.freeze();
  await waitUntil(() => !host.retriever.fresh(), { what: "the host to doubt itself" });
  server.thaw();
  await waitUntil(async () => (await ask(host, "Anything?")) && host.retriever.fresh(), {
    what: "the host to have proved itself",
  });
});

test("vectors in JetStream are a record a document, without the ones that are gone", async () => {
  await indexerOf("indexer");
  const one = await retrievalOf("one");
  await indexed(one, await fill(one));
  const bus = await connect("bytes");
  const filled = await streamState(bus, VECTORS);
  // And the mark behind them.
  expect(filled.messages).toBe(3 + 1);
  const gone = await one.store.delete("acme", "shop", "login");
  await indexed(one, gone?.revision ?? 0);
  const after = await streamState(bus, VECTORS);
  expect(after.messages).toBe(3 + 1);
  expect(after.bytes).toBeLessThan(filled.bytes - 64);
});

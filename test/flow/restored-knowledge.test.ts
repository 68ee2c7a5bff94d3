// KNOWLEDGE made anew, or restored from a backup, under warm caches: revisions are given out twice, and no answer that
// rests on the first life of a number is served in the second, by who ran on nor by who starts then.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CacheQuery } from "#actors/cache/port.ts";
import { INDEXER_ROLE } from "#actors/knowledge/readers.ts";
import { RevisionReader } from "#actors/knowledge/revisions.ts";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { decodeMark } from "#actors/knowledge/vectors/vector-record.ts";
import { KNOWLEDGE, VECTORS, vectorsMark } from "#contracts/subjects.ts";
import type { Retrieval } from "#ops/compose/retrieval.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { lastMessage } from "#runtime/nats/reader.ts";
import { provision } from "#runtime/nats/topology.ts";
import { Presence } from "#runtime/observe/presence.ts";
import {
  answerFrom,
  insteadOf,
  type KnowledgeWorld,
  knowledgeWorld,
  type Reader,
  silentLog,
} from "#test/harness/knowledge.ts";
import { startTestQdrant } from "#test/harness/qdrant.ts";
import { backUp, restore } from "#test/harness/stream-backup.ts";
import { ask, BY_MEANING, documentsOf, indexed, SHOP, VectorWorld } from "#test/harness/vectors.ts";
import { PATIENCE_MS, waitUntil } from "#test/harness/wait.ts";

const TENANT = "acme";
const QUESTION = "What does a zebra eat?";

let world: KnowledgeWorld;
let running: Reader;

const documentOf = (food: string) => ({ title: "Zebra", text: `A zebra eats ${food}.`, locale: "en" });

async function put(food: string): Promise<number> {
  return (await world.store.put(TENANT, "c", "zebra", documentOf(food))).revision;
}

async function queryFor({ retriever, cache }: Reader): Promise<CacheQuery> {
  const position = cache.position();
  const asked = { tenant: TENANT, collections: ["c"], question: QUESTION, locale: "en", limit: 3 };
  const passages = await retriever.retrieve(asked);
  const scope = { tenant: TENANT, assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
  return { ...scope, question: QUESTION, passages, position };
}

/** What a turn would say: what is served from the caches, else what the documents say. */
async function answered(reader: Reader): Promise<string> {
  const query = await queryFor(reader);
  return ((await reader.cache.lookup(query)) ?? { answer: answerFrom(query) }).answer.reply;
}

/** An answer about what the zebra eats is in the caches. */
async function warm(): Promise<void> {
  const query = await queryFor(running);
  await running.cache.store(query, answerFrom(query), "s");
  expect(await running.cache.lookup(query)).toBeDefined();
}

/** Who ran on and who starts now say what the document says now. */
async function expectAnswers(food: string): Promise<void> {
  const says = async (): Promise<boolean> => (await answered(running).catch(() => "")).includes(food);
  await waitUntil(says, { what: "the running process to know the other stream" });
  expect(await answered(await world.reader("started"))).toContain(food);
  expect(await answered(running)).toContain(food);
}

async function copyOfKnowledge(bus: Bus): Promise<() => Promise<void>> {
  const backup = await backUp(bus, KNOWLEDGE);
  return () => restore(bus, backup);
}

/** Of all streams and of what the server knows of their readers. */
async function copyOfDisk(
  { server, cleanups }: VectorWorld,
  { store }: Pick<Retrieval, "store">,
): Promise<() => Promise<void>> {
  const copy = await mkdtemp(join(tmpdir(), "jetclaw-disk-"));
  cleanups.push(() => rm(copy, { recursive: true }));
  const anew = async (from: string, to: string): Promise<void> => {
    await server.kill();
    await rm(to, { recursive: true });
    await cp(from, to, { recursive: true });
    await server.restart();
    const answers = (): Promise<boolean> => store.get("acme", "shop", "login").then(Boolean, () => false);
    await waitUntil(answers, { what: "the server to be back" });
  };
  await anew(server.dataDir, copy);
  return () => anew(copy, server.dataDir);
}

/** A reader that follows nothing anew before it is let. */
async function readerAway(bus: Bus): Promise<{ reader: RevisionReader; leave: () => () => void }> {
  let follows = Promise.resolve();
  const { jsm } = bus;
  const info: typeof jsm.streams.info = async (...stream) => {
    await follows;
    return jsm.streams.info(...stream);
  };
  const late = insteadOf(bus, { jsm: { streams: { info }, consumers: jsm.consumers } as typeof jsm });
  const reader = new RevisionReader(late, { instance: "late", log: silentLog });
  await reader.start();
  const leave = (): (() => void) => {
    const back = Promise.withResolvers<void>();
    follows = back.promise;
    return back.resolve;
  };
  return { reader, leave };
}

describe("under warm caches", () => {
  beforeEach(async () => {
    world = await knowledgeWorld();
    running = await world.reader("running");
  });
  afterEach(() => world?.stop());

  test("made anew: the same revision of the same document is another change", async () => {
    const first = await put("grass");
    expect(await world.store.waitIndexed(first, PATIENCE_MS)).toBe(true);
    await warm();
    await world.bus.jsm.streams.delete(KNOWLEDGE);
    await provision(world.bus, { shards: 1, pools: [] });
    expect(await put("hay")).toBe(first);
    await expectAnswers("hay");
  });

  test("restored from a backup: what was written since then, and what is written again under its numbers", async () => {
    await put("grass");
    await world.store.put(TENANT, "c", "whale", { title: "Whale", text: "Plankton.", locale: "en" });
    const backup = await backUp(world.bus, KNOWLEDGE);
    const lost = await put("leaves");
    expect(await world.store.waitIndexed(lost, PATIENCE_MS)).toBe(true);
    await warm();
    await restore(world.bus, backup);
    await expectAnswers("grass");
    expect(await put("hay")).toBe(lost);
    await expectAnswers("hay");
  });

  test("what a restored stream took at once, before anybody looked, is told from what had its number", async () => {
    await put("grass");
    const backup = await backUp(world.bus, KNOWLEDGE);
    const lost = await put("leaves");
    expect(await world.store.waitIndexed(lost, PATIENCE_MS)).toBe(true);
    await warm();
    await restore(world.bus, backup);
    expect(await put("hay")).toBe(lost);
    await expectAnswers("hay");
  });

  test("a document that is not there any more is found by nobody", async () => {
    const backup = await backUp(world.bus, KNOWLEDGE);
    const lost = await put("leaves");
    expect(await world.store.waitIndexed(lost, PATIENCE_MS)).toBe(true);
    await restore(world.bus, backup);
    const isGone = async (): Promise<boolean> => (await queryFor(running)).passages.length === 0;
    await waitUntil(isGone, { what: "the running process to know the other stream" });
  });

  test("whoever waits for a change is not answered by what a reader had of the stream before", async () => {
    const { reader, leave } = await readerAway(world.bus);
    try {
      await put("grass");
      const backup = await backUp(world.bus, KNOWLEDGE);
      const lost = await put("leaves");
      expect(await world.store.waitIndexed(lost, PATIENCE_MS)).toBe(true);
      const comeBack = leave();
      await restore(world.bus, backup);
      expect(await world.store.waitIndexed(lost, 500)).toBe(false);
      expect(await put("hay")).toBe(lost);
      expect(await world.store.waitIndexed(lost, 500)).toBe(false);
      comeBack();
      expect(await world.store.waitIndexed(lost, PATIENCE_MS)).toBe(true);
      await expectAnswers("hay");
    } finally {
      await reader.stop();
    }
  });
});

describe("with vectors", () => {
  let vectors: VectorWorld;
  beforeEach(async () => {
    vectors = await VectorWorld.start();
  });
  afterEach(() => vectors?.stop());

  /** An indexer, and a process that retrieves, both of which know one document. */
  async function shopIn(inQdrant: boolean) {
    const qdrant = inQdrant ? await startTestQdrant() : undefined;
    vectors.cleanups.push(() => qdrant?.stop());
    await vectors.indexerOf("indexer", qdrant);
    const one = await vectors.retrievalOf("one", qdrant);
    await indexed(one, (await one.store.put("acme", "shop", "login", SHOP.login)).revision);
    return { one, qdrant, bus: await vectors.connect("operator") };
  }

  test("a disk that was set back and has grown since is known also where the last number seen is free", async () => {
    const { reader, leave } = await readerAway(await vectors.connect("reader"));
    const store = createKnowledgeStore(await vectors.connect("store"));
    let texts = 0;
    const put = async (document: string): Promise<number> => {
      const text = `${document} ${texts++}`;
      return (await store.put("acme", "shop", document, { title: document, text, locale: "en" })).revision;
    };
    const revisionOf = (document: string) => reader.changeOf("acme", "shop", document)?.revision;
    try {
      const kept = await put("login");
      const setBack = await copyOfDisk(vectors, { store });
      await put("login");
      const seen = await put("whale");
      await waitUntil(() => revisionOf("whale") === seen, { what: "the reader" });
      const comeBack = leave();
      await setBack();
      await put("otter");
      expect(await put("whale")).toBe(seen);
      const last = await put("whale");
      comeBack();
      await waitUntil(() => revisionOf("whale") === last, { what: "the last change" });
      expect(revisionOf("login")).toBe(kept);
    } finally {
      await reader.stop();
      store.stop();
    }
  });

  test.each([
    { where: "memory", inQdrant: false, ofDisk: false },
    { where: "Qdrant", inQdrant: true, ofDisk: false },
    { where: "Qdrant, with the server's whole disk", inQdrant: true, ofDisk: true },
  ])(
    "whoever waits for a change waits for its vectors, whatever its number was before: in $where",
    async ({ inQdrant, ofDisk }) => {
      const { one, bus } = await shopIn(inQdrant);
      const indexers = new Presence(bus, INDEXER_ROLE);
      vectors.cleanups.push(async () => indexers.stop());
      const { delivery, refunds } = SHOP;
      const setBack = ofDisk ? await copyOfDisk(vectors, one) : await copyOfKnowledge(bus);
      await one.store.put("acme", "shop", "refunds", refunds);
      const lost = (await one.store.put("acme", "shop", "delivery", delivery)).revision;
      await indexed(one, lost);
      const isMarked = async (): Promise<boolean> => {
        const mark = await lastMessage(bus, VECTORS, vectorsMark("concepts"));
        return mark !== undefined && decodeMark(mark.data)?.indexed === lost;
      };
      await waitUntil(isMarked, { what: "the mark behind them" });
      const answers = Promise.withResolvers<void>();
      vectors.model.until = answers.promise;
      await setBack();
      const text = `${delivery.text} Or in three.`;
      const { revision } = await one.store.put("acme", "shop", "delivery", { ...delivery, text });
      expect(revision).toBeLessThan(lost);
      const isRead = (): boolean => one.retriever.changeOf("acme", "shop", "delivery")?.revision === revision;
      await waitUntil(isRead, { what: "the retriever to know the other stream" });
      const isKnown = (): boolean => indexers.live().some(({ info }) => Number(info.position) < revision);
      await waitUntil(isKnown, { what: "the indexer to know the other stream" });
      expect(await one.store.waitIndexed(revision, 1_000)).toBe(false);
      answers.resolve();
      await indexed(one, revision);
      expect(documentsOf(await ask(one, BY_MEANING))).toEqual(["delivery"]);
    },
  );

  test.each([
    { where: "memory", inQdrant: false },
    { where: "Qdrant", inQdrant: true },
  ])("a document that is written again is found by its meaning: in $where", async ({ inQdrant }) => {
    const { one, bus, qdrant } = await shopIn(inQdrant);
    const store = async (document: keyof typeof SHOP): Promise<number> =>
      (await one.store.put("acme", "shop", document, SHOP[document])).revision;
    const backup = await backUp(bus, KNOWLEDGE);
    await store("refunds");
    const lost = await store("delivery");
    await indexed(one, lost);
    await restore(bus, backup);
    expect(await store("delivery")).toBeLessThan(lost);
    const two = await vectors.retrievalOf("two", qdrant);
    let n = 0;
    for (const each of [one, two]) {
      // A question that was asked before may be remembered.
      const isFound = async (): Promise<boolean> =>
        documentsOf(await ask(each, `${BY_MEANING} ${n++}`)).includes("delivery");
      await waitUntil(isFound, { what: "the document by its meaning" });
    }
  });
});

// What tests of knowledge and caches share: a provisioned server, a store, and readers on connections of their own.

import { type AnswerCacheOptions, LeveledCache } from "#actors/cache/answer-cache.ts";
import type { CachedAnswer, CacheQuery } from "#actors/cache/port.ts";
import { type LocalRetriever, startRetriever } from "#actors/knowledge/retriever.ts";
import { createKnowledgeStore, type RunningStore } from "#actors/knowledge/store.ts";
import type { Passage } from "#contracts/job.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { stretchPatience } from "#runtime/within.ts";
import { startTestNats } from "./nats.ts";
import { SLOW_MACHINE } from "./wait.ts";

export const silentLog = createLog({ level: process.env.JETCLAW_LOG_LEVEL ?? "silent" });

/** What somebody else's retrieval found. */
export const PASSAGE: Passage = {
  collection: "shop",
  document: "d",
  revision: 9,
  storedAt: 1,
  title: "D",
  text: "text",
  score: 1,
};

export interface Reader {
  readonly bus: Bus;
  readonly retriever: LocalRetriever;
  readonly cache: LeveledCache;
  stop(): Promise<void>;
}

export interface KnowledgeWorld {
  readonly url: string;
  readonly bus: Bus;
  readonly store: RunningStore;
  /** A retrieving process in all but the process: index and cache on a connection of their own. */
  reader(name: string, change?: CacheChange): Promise<Reader>;
  stop(): Promise<void>;
}

const connect = (url: string, name: string): Promise<Bus> =>
  connectBus({ servers: url, name, log: silentLog });

/** What a cache of tests may be given besides. */
export type CacheChange = Partial<Pick<AnswerCacheOptions, "semantic" | "vectorOf" | "alone">>;

export async function startReader(url: string, name: string, change: CacheChange = {}): Promise<Reader> {
  stretchPatience(SLOW_MACHINE);
  const bus = await connect(url, name);
  const retriever = await startRetriever(bus, { instance: name, log: silentLog });
  const cache = new LeveledCache(bus, { revisions: retriever, log: silentLog, ...change });
  cache.start();
  return {
    bus,
    retriever,
    cache,
    async stop() {
      await cache.stop();
      await retriever.stop();
      await bus.close();
    },
  };
}

export async function knowledgeWorld(): Promise<KnowledgeWorld> {
  const server = await startTestNats();
  const bus = await connect(server.url, "store");
  await provision(bus, { shards: 1, pools: [] });
  const store = createKnowledgeStore(bus);
  const readers: Reader[] = [];
  return {
    url: server.url,
    bus,
    store,
    async reader(name, change) {
      const reader = await startReader(server.url, name, change);
      readers.push(reader);
      return reader;
    },
    async stop() {
      for (const reader of readers) await reader.stop();
      store.stop();
      await bus.close();
      await server.stop();
    },
  };
}

/** What a model would say: the text of the best passage. */
export function answerFrom({ passages: [best] }: CacheQuery): CachedAnswer {
  if (!best) throw new Error("nothing was retrieved");
  const { collection, document, revision, title, text } = best;
  return {
    reply: text,
    citations: [{ collection, document, revision, title, passage: text }],
    model: "fake",
  };
}

/** A connection on which some is done in another way. */
export const insteadOf = (bus: Bus, some: Partial<Bus>): Bus =>
  new Proxy(bus, {
    get: (whole, name) => {
      const found = Reflect.get(some, name) ?? Reflect.get(whole, name);
      return typeof found === "function" ? found.bind(whole) : found;
    },
  });

/**
 * What a process that answers or accepts documents needs of knowledge: the store, the index in memory, and the response
 * cache over both. In one process it is a call; composed once a process, whichever roles it runs.
 */

import type { LeveledCache } from "#actors/cache/answer-cache.ts";
import type { KnowledgeStore } from "#actors/knowledge/port.ts";
import { type LocalRetriever, startRetriever } from "#actors/knowledge/retriever.ts";
import { createKnowledgeStore } from "#actors/knowledge/store.ts";
import { startCache } from "./cache.ts";
import type { RoleContext, RunningRole } from "./context.ts";

export interface Retrieval extends RunningRole {
  readonly store: KnowledgeStore;
  readonly retriever: LocalRetriever;
  readonly cache: LeveledCache;
}

/** Resolves when the index has caught up. @throws JetclawError `nats.unavailable` */
export async function startRetrieval(ctx: RoleContext): Promise<Retrieval> {
  const store = createKnowledgeStore(ctx.bus, ctx.clock);
  try {
    const retriever = await startRetriever(ctx.bus, {
      instance: ctx.instance,
      log: ctx.log,
      clock: ctx.clock,
    });
    const caching = startCache(ctx, retriever);
    return {
      role: "retrieval",
      store,
      retriever,
      cache: caching.cache,
      readiness: () => (retriever.fresh() ? undefined : "the knowledge index is behind"),
      // Questions that are being answered still need it.
      drain: async () => {},
      async stop() {
        store.stop();
        await caching.stop();
        await retriever.stop();
      },
    };
  } catch (error) {
    store.stop();
    throw error;
  }
}

/**
 * What a process that holds conversations or answers questions needs of knowledge, composed once a process, whichever
 * roles it runs: the store, retrieval in this process or by the role `retrieval`, and the caches over both.
 */
import type { LeveledCache } from "#actors/cache/answer-cache.ts";
import type { CurrentRevisions } from "#actors/cache/entry.ts";
import { remoteSearch } from "#actors/knowledge/ask-retrieval.ts";
import type { KnowledgeStore, ProvenRetriever, QuestionVectors, Retriever } from "#actors/knowledge/port.ts";
import { RemoteRetriever } from "#actors/knowledge/remote-retriever.ts";
import { serveRetrieval } from "#actors/knowledge/retrieval-service.ts";
import { startRetriever } from "#actors/knowledge/retriever.ts";
import { RevisionReader } from "#actors/knowledge/revisions.ts";
import { createKnowledgeStore, type RunningStore } from "#actors/knowledge/store.ts";
import { announce } from "#runtime/observe/presence.ts";
import { startCache } from "./cache.ts";
import type { RoleContext, RunningRole } from "./context.ts";
import { composeQuestions, composeVectors } from "./vectors.ts";

export interface Retrieval extends RunningRole {
  readonly store: KnowledgeStore;
  readonly retriever: ProvenRetriever;
  /** For whoever wants to know that nothing could be searched, where a turn goes on without passages. */
  readonly search: Retriever;
  readonly cache: LeveledCache;
}

/** All documents in this process. Resolves when it has caught up. @throws JetclawError `nats.unavailable` */
export async function startRetrieval(ctx: RoleContext): Promise<Retrieval> {
  const { bus, instance, log, clock } = ctx;
  const store = createKnowledgeStore(bus, clock);
  const vectors = await composeVectors(ctx);
  try {
    const retriever = await startRetriever(bus, { instance, log, clock, vectors: vectors?.search });
    const retrieval = composed(
      ctx,
      { store, retriever, search: retriever, questions: vectors?.questions },
      async () => {
        await retriever.stop();
        await vectors?.stop();
      },
    );
    return {
      ...retrieval,
      readiness: () =>
        retrieval.readiness() ?? (retriever.vectorsRead ? undefined : "vectors are being read"),
    };
  } catch (error) {
    store.stop();
    await vectors?.stop();
    throw error;
  }
}

/** Revisions alone; questions are answered by the role `retrieval`. @throws JetclawError `nats.unavailable` */
export async function startRemoteRetrieval(ctx: RoleContext): Promise<Retrieval> {
  const { bus, instance, log, clock, config } = ctx;
  const store = createKnowledgeStore(bus, clock);
  const revisions = new RevisionReader(bus, { instance, log, clock });
  const embedded = await composeQuestions(config);
  const end = async (): Promise<void> => {
    await revisions.stop();
    await embedded?.stop();
  };
  try {
    await revisions.start();
    const retriever = new RemoteRetriever(bus, { revisions, questions: embedded?.questions, log });
    return composed(
      ctx,
      { store, retriever, search: remoteSearch(bus), questions: embedded?.questions },
      end,
    );
  } catch (error) {
    store.stop();
    await end();
    throw error;
  }
}

interface Composed extends Pick<Retrieval, "retriever" | "search"> {
  readonly store: RunningStore;
  /** Embedded once a turn, whether retrieval asks or a cache; absent without embeddings. */
  readonly questions: QuestionVectors | undefined;
}

function composed(
  ctx: RoleContext,
  { store, retriever, search, questions }: Composed,
  end: () => Promise<void>,
): Retrieval {
  const revisions: CurrentRevisions = {
    changeOf: (tenant, collection, document) => retriever.changeOf(tenant, collection, document),
    fresh: () => retriever.fresh(),
    // Not how far this process is: who retrieves for it, and the vectors, may be behind.
    get position() {
      return store.indexed;
    },
    get newestAt() {
      return retriever.newestAt;
    },
  };
  const caching = startCache(ctx, revisions, questions && ((question) => questions.vectorOf(question)));
  return {
    role: "retrieval",
    store,
    retriever,
    search,
    cache: caching.cache,
    readiness: () => (retriever.fresh() ? undefined : "the knowledge index is behind"),
    // Questions that are being answered still need it.
    drain: async () => {},
    async stop() {
      store.stop();
      await caching.stop();
      await end();
    },
  };
}

/** Role `retrieval`: answers the questions of processes that hold no documents. */
export function startRetrievalRole(
  { bus, log, instance }: RoleContext,
  { retriever }: Retrieval,
): RunningRole {
  const service = serveRetrieval(bus, retriever, log);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= service.stop();
    return stopping;
  };
  const presence = announce(
    bus,
    { role: "retrieval", instance },
    () => ({}),
    () => stopping !== undefined,
  );
  return {
    role: "retrieval",
    readiness: () => (stopping ? "draining" : undefined),
    drain: stop,
    async stop() {
      await stop();
      presence.stop();
    },
  };
}

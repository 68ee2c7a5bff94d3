// A process with an index and caches, or one that hears of changes, which a test can kill: composed as deployed. It knows its
// role when it starts, and over IPC where to begin; a host then takes { id, question } and gives { id, text, level }.
import { flushCompileCache } from "node:module";
import type { LeveledCache } from "#actors/cache/answer-cache.ts";
import type { CachedAnswer, CacheQuery } from "#actors/cache/port.ts";
import type { RetrievalQuery, StoredChange } from "#actors/knowledge/port.ts";
import { configSchema } from "#contracts/config.ts";
import type { Passage } from "#contracts/job.ts";
import type { RoleContext } from "#ops/compose/context.ts";
import type { Retrieval } from "#ops/compose/retrieval.ts";
import { systemClock } from "#runtime/clock.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { provision } from "#runtime/nats/topology.ts";
import { silentLog } from "./knowledge.ts";

/** `control`: a host whose caches believe that nothing changes. */
export type CacheRole = "host" | "control" | "indexer" | "invalidator";
export interface Orders {
  readonly servers: string;
  readonly embeddings: string;
}
export interface Look {
  readonly id: number;
  readonly question: string;
}
export interface Looked {
  readonly id: number;
  readonly text: string;
  /** Of the cache that served it; absent: retrieval did. */
  readonly level?: string;
  readonly ms: number;
}

/** The tenant of all look-ups. */
const TENANT = "stale";

/** What a model would say: the text of the best passage. */
function answerFrom({ passages: [best] }: CacheQuery): CachedAnswer {
  if (!best) return { reply: "", citations: [], model: "fake" };
  const { collection, document, revision, title, text } = best;
  return {
    reply: text,
    citations: [{ collection, document, revision, title, passage: text }],
    model: "fake",
  };
}

async function contextOf(role: string, url: string, baseUrl: string): Promise<RoleContext> {
  const bus = await connectBus({ servers: url, name: role, log: silentLog });
  const config = configSchema.parse({
    // The model of tests has few axes, so unrelated texts are nearer than a real one puts them.
    embeddings: { baseUrl, model: "meanings", thresholds: { en: 0.6 } },
    // What is checked is asked of the model besides; here every served answer is judged.
    cache: { checkShare: 0, errorBound: 0.02 },
  });
  const deployment = await provision(bus, { shards: 1, pools: [] });
  const instance = `${role}-${process.pid}`;
  return { bus, config, deployment, log: silentLog, clock: systemClock, instance };
}

/**
 * What a control run believes instead of what its index knows: that nothing has changed since it first asked, neither
 * what a question finds nor the documents. The caches have to serve old answers then, and the run to find them.
 */
async function unchanging(
  bus: RoleContext["bus"],
  retrieval: Retrieval,
): Promise<{
  readonly cache: LeveledCache;
  readonly retriever: Pick<Retrieval["retriever"], "retrieve">;
}> {
  const { LeveledCache } = await import("#actors/cache/answer-cache.ts");
  const found = new Map<string, Passage[]>();
  const first = new Map<string, StoredChange | undefined>();
  const cache = new LeveledCache(bus, {
    log: silentLog,
    revisions: {
      fresh: () => true,
      position: 0,
      newestAt: 0,
      changeOf(tenant, collection, document) {
        if (!first.has(document))
          first.set(document, retrieval.retriever.changeOf(tenant, collection, document));
        return first.get(document);
      },
    },
  });
  cache.start();
  const { retriever } = retrieval;
  const retrieve = async (query: RetrievalQuery): Promise<Passage[]> => {
    const passages = found.get(query.question) ?? (await retriever.retrieve(query));
    if (passages.length > 0) found.set(query.question, passages);
    return passages;
  };
  return { cache, retriever: { retrieve } };
}

async function serveLooks(context: RoleContext, retrieval: Retrieval, control: boolean): Promise<void> {
  const { retriever, cache } = control ? await unchanging(context.bus, retrieval) : retrieval;
  process.on("message", async ({ id, question }: Look) => {
    const startedAt = performance.now();
    const position = cache.position();
    const asked = { tenant: TENANT, collections: ["c"], question, locale: "en", limit: 3 };
    const passages = await retriever.retrieve(asked);
    const scope = { tenant: TENANT, assistant: "a", assistantVersion: "1", tier: "small", locale: "en" };
    const query: CacheQuery = { ...scope, question, passages, position };
    const hit = await cache.lookup(query);
    const answer = hit?.answer ?? answerFrom(query);
    const ms = performance.now() - startedAt;
    const looked: Looked = { id, text: answer.reply, ms, ...(hit ? { level: hit.level } : {}) };
    process.send?.(looked);
    if (!hit) await cache.store(query, answer, `session-${id % 50}`);
  });
}

/** What a process of the role loads before it begins, as `jetclaw run` does: nothing of another one. */
async function load(role: CacheRole): Promise<(context: RoleContext) => Promise<unknown>> {
  if (role === "indexer") {
    const [{ startIndexerRole }] = await Promise.all([
      import("#ops/compose/indexer.ts"),
      import("#actors/knowledge/embeddings/openai.ts"),
    ]);
    return startIndexerRole;
  }
  if (role === "invalidator") return (await import("#ops/compose/invalidator.ts")).startInvalidatorRole;
  const { startRetrieval } = await import("#ops/compose/retrieval.ts");
  return async (context) => serveLooks(context, await startRetrieval(context), role === "control");
}

process.on("disconnect", () => process.exit(0));
const role = process.argv[2] as CacheRole;
const start = await load(role);
// What is compiled is written down for the next one: who is killed does not come to it.
flushCompileCache();
process.once("message", async ({ servers, embeddings }: Orders) => {
  await start(await contextOf(role, servers, embeddings));
  process.send?.("ready");
});
// The modules are loaded: what is left to do takes no time that anybody would notice.
process.send?.("loaded");

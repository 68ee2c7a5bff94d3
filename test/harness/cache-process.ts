// A process with an index and caches that a test can kill. Over IPC: { id, question } in, { id, text, level } out.

import { startInvalidator } from "#actors/cache/invalidator.ts";
import type { CachedAnswer, CacheQuery } from "#actors/cache/port.ts";
import { connectBus } from "#runtime/nats/connect.ts";
import { silentLog, startReader } from "./knowledge.ts";

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

const TENANT = "stale";
const DIMENSIONS = 32;

/** Words as directions: what shares words is near. Enough for a cache to find other wordings of the same question. */
async function vectorOf(text: string): Promise<Float32Array> {
  const vector = new Float32Array(DIMENSIONS);
  for (const [word] of text.toLowerCase().matchAll(/[a-z]{4,}/g)) {
    let hash = 7;
    for (const letter of word) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0;
    vector[hash % DIMENSIONS] = 1;
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

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

const [role, url = ""] = process.argv.slice(2);
if (role === "invalidator") {
  await startInvalidator(await connectBus({ servers: url, name: "invalidator", log: silentLog }), {
    log: silentLog,
  });
} else {
  const semantic = { checkShare: 0, errorBound: 0.02, slotsOf: () => [] };
  const { cache, retriever } = await startReader(url, `host-${process.pid}`, { vectorOf, semantic });
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
process.on("disconnect", () => process.exit(0));
process.send?.("ready");

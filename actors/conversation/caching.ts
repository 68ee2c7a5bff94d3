/** What a turn has to do with the caches: whether it may be looked up, may wait for somebody, may be kept. */
import { LRUCache } from "lru-cache";
import { LIMITS } from "#contracts/limits.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { AnswerCache, CacheQuery, Flight, Hit, Position } from "../cache/port.ts";
import type { Assistant } from "./assistants.ts";
import type { Closing } from "./closing.ts";
import type { Treatment } from "./degradation.ts";
import type { ConversationState } from "./turn.ts";

export interface CachingPlan {
  /** Absent: no cache is asked. */
  readonly query?: CacheQuery;
  readonly levels?: "both" | "response";
  /** The kind of turn that is not cached, where it is one. */
  readonly uncached?: string;
  /** Its answer may be kept. */
  readonly keep?: CacheQuery;
  readonly join?: (cls: PriorityClass, asker: string) => Promise<Flight>;
}

/** Without a cache nothing is compared with it. */
export const NOWHERE: Position = { revision: 0, storedAt: 0 };

/** A question to an assistant as the caches know it. */
export const cacheQueryOf = (
  tenant: string,
  { name, version }: Assistant,
  asked: Omit<CacheQuery, "tenant" | "assistant" | "assistantVersion">,
): CacheQuery => ({ tenant, assistant: name, assistantVersion: version, ...asked });

/**
 * A question that stands alone is looked up as if it were the first of its conversation, whatever was said before. Without
 * knowledge, or without a passage, there is nothing that an answer could rest on: nothing is kept, nothing looked up.
 */
export function planCaching(
  cache: AnswerCache | undefined,
  { knowledge, cache: wish }: Assistant,
  { history, summary }: ConversationState,
  query: CacheQuery,
): CachingPlan {
  if (!cache || knowledge.length === 0 || wish?.enabled === false) return {};
  const turns = history.map(({ messages, reply }) => ({ messages: messages.map((m) => m.text), reply }));
  const judged = cache.judge({
    question: query.question,
    locale: query.locale,
    // What a summary stands for was no small talk.
    earlier: summary ? [{ messages: [], reply: summary.text }, ...turns] : turns,
  });
  if (judged.levels !== "both") metrics.cache({ level: judged.levels, result: judged.reason });
  if (judged.levels === "none") return { uncached: judged.reason };
  if (query.passages.length === 0) return {};
  const { levels } = judged;
  if (!judged.keeps) return { query, levels };
  return { query, levels, keep: query, join: (cls, asker) => cache.join(query, cls, asker) };
}

/** Under load an answer of any tier is better than none of a model. */
export async function lookUp(
  cache: AnswerCache | undefined,
  { query, levels }: CachingPlan,
  treatment: Treatment,
  tiers: readonly string[] = [],
): Promise<{ readonly hit: Hit; readonly asked: CacheQuery } | undefined> {
  if (!cache || !query) return undefined;
  const others = treatment === "normal" ? [] : tiers.filter((tier) => tier !== query.tier);
  for (const asked of [query, ...others.map((tier) => ({ ...query, tier }))]) {
    const hit = await cache.lookup(asked, levels);
    if (hit) return { hit, asked };
  }
  return undefined;
}

export const closingOf = ({ answer, level }: Hit): Closing => ({
  ending: { outcome: "answered", ...answer, cached: true, usage: NO_USAGE },
  cacheLevel: level,
});

/** Answers that are waited for at once; of more the oldest are not kept. */
const PENDING_MOST = 10_000;

/**
 * Queries whose answers are on their way, by job. In memory: an answer that comes back to another host is not cached,
 * which costs a hit and never a wrong one.
 */
export class PendingAnswers {
  readonly #cache: AnswerCache | undefined;
  readonly #byJob = new LRUCache<string, CacheQuery>({ max: PENDING_MOST });

  constructor(cache: AnswerCache | undefined) {
    this.#cache = cache;
  }

  /** For as long as the job may take, and what is late a while longer. */
  remember(job: string, query: CacheQuery, patienceMs: number): void {
    this.#byJob.set(job, query, { ttl: Math.max(0, patienceMs) + LIMITS.dedupeWindowMs });
  }

  /** What a job brought, once; undefined where it brought nothing that may be kept. Whoever waits for it hears of it. */
  settle(job: string, session: string, answer: Parameters<AnswerCache["store"]>[1] | undefined): void {
    const query = this.#byJob.get(job);
    if (!query || !this.#cache) return;
    this.#byJob.delete(job);
    if (answer) void this.#cache.store(query, answer, session);
    else this.#cache.giveUp(query);
  }
}

/** What a turn has to do with the caches: whether it may be looked up, may wait for somebody, may be kept. */
import { LIMITS } from "#contracts/limits.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import { NO_USAGE } from "#contracts/usage.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import type { AnswerCache, CacheQuery, Flight, Hit } from "../cache/port.ts";
import type { Answering } from "./answering.ts";
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
  readonly join?: (cls: PriorityClass) => Promise<Flight>;
}

/**
 * A question that stands alone is looked up as if it were the first of its conversation, whatever was said before. Without
 * knowledge, or without a passage, there is nothing that an answer could rest on: nothing is kept, nothing looked up.
 */
export function planCaching(
  { cache }: Pick<Answering, "cache">,
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
  return { query, levels, keep: query, join: (cls) => cache.join(query, cls) };
}

/** Under load an answer of any tier is better than none of a model. */
export async function lookUp(
  { cache, tiers = [] }: Pick<Answering, "cache" | "tiers">,
  { query, levels }: CachingPlan,
  treatment: Treatment,
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

/**
 * Queries whose answers are on their way, by job. In memory: an answer that comes back to another host is not cached,
 * which costs a hit and never a wrong one.
 */
export class PendingAnswers {
  readonly #cache: AnswerCache | undefined;
  readonly #byJob = new Map<string, { query: CacheQuery; at: number }>();

  constructor(cache: AnswerCache | undefined) {
    this.#cache = cache;
  }

  remember(job: string, query: CacheQuery, now: number): void {
    this.#byJob.set(job, { query, at: now });
    for (const [id, { at }] of this.#byJob) {
      if (now - at <= LIMITS.dedupeWindowMs) break;
      this.#byJob.delete(id);
    }
  }

  /** What a job brought, once; undefined where it brought nothing that may be kept. Whoever waits for it hears of it. */
  settle(job: string, session: string, answer: Parameters<AnswerCache["store"]>[1] | undefined): void {
    const found = this.#byJob.get(job);
    if (!found || !this.#cache) return;
    this.#byJob.delete(job);
    if (answer) void this.#cache.store(found.query, answer, session);
    else this.#cache.giveUp(found.query);
  }
}

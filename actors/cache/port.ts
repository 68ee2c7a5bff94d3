/** The response cache as the conversation sees it: an identical request is answered without a model. */
import type { Citation } from "#contracts/content.ts";
import type { Passage } from "#contracts/job.ts";

export interface CacheQuery {
  readonly tenant: string;
  readonly assistant: string;
  /** Changes with instructions, knowledge collections or model policy of the assistant. */
  readonly assistantVersion: string;
  readonly tier: string;
  readonly locale: string;
  readonly question: string;
  /** Fingerprint of the history the model would see; empty for the first turn. */
  readonly history: string;
  /** What retrieval found for the question now: an answer made from anything else does not match. */
  readonly passages: readonly Passage[];
}

export interface CachedAnswer {
  readonly reply: string;
  readonly citations: readonly Citation[];
  readonly model: string;
}

export interface ResponseCache {
  /** Never throws and never delays a turn by more than 300 ms: a failing cache is a miss, counted. */
  lookup(query: CacheQuery): Promise<CachedAnswer | undefined>;
  /**
   * Keeps an answer unless it cites nothing, or the documents it rests on have changed since retrieval.
   * Best effort: never throws.
   */
  store(query: CacheQuery, answer: CachedAnswer): Promise<void>;
}

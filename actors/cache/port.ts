/** The caches as the conversation sees them: questions that were answered before are answered without a model. */
import type { Citation } from "#contracts/content.ts";
import type { Passage } from "#contracts/job.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import type { Judgement, TurnAtHand } from "./cacheability.ts";

/** Up to where KNOWLEDGE was searched. */
export interface Position {
  /** Every change up to this one was, by words and vectors, wherever questions are asked. */
  readonly revision: number;
  /** When the newest change that the asking process knew was stored, ms since the epoch: no other life's is older. */
  readonly storedAt: number;
}

/** A request as the caches compare it. The same object goes through look-up, `join` and `store` of one turn. */
export interface CacheQuery {
  readonly tenant: string;
  readonly assistant: string;
  /** Changes with instructions, knowledge collections or models of the assistant, and with the model of vectors. */
  readonly assistantVersion: string;
  readonly tier: string;
  readonly locale: string;
  readonly question: string;
  /** What retrieval found for the question now: an answer made from anything else does not match. */
  readonly passages: readonly Passage[];
  /** `position()` before retrieval. */
  readonly position: Position;
}

export interface CachedAnswer {
  readonly reply: string;
  readonly citations: readonly Citation[];
  readonly model: string;
}

export interface Hit {
  readonly answer: CachedAnswer;
  readonly level: "response" | "semantic";
  /** Id of the entry, for `cache rm`. */
  readonly entry: string;
  /** Drawn to be checked: the user gets the answer, and the model is asked as well; `store` learns what it says. */
  readonly check: boolean;
}

/** Whether somebody asks a model the same right now. */
export type Flight =
  /** Nobody does, or nobody that should be waited for: ask, then `store` or `giveUp`. */
  | { readonly kind: "ask" }
  /** Look up again when `landed` resolves, at the latest at `untilAt` (ms since the epoch). */
  | { readonly kind: "wait"; readonly landed: Promise<void>; readonly untilAt: number };

export interface AnswerCache {
  /** What may be done with a turn. Pure; asked before anything is looked up or kept. */
  judge(turn: TurnAtHand): Judgement;
  /** Up to which change of KNOWLEDGE retrieval misses nothing. */
  position(): Position;
  /**
   * `response`: identical requests only. Never throws and never delays a turn by more than 300 ms, the embedding of the
   * question included: a failing cache is a miss, counted.
   */
  lookup(query: CacheQuery, levels?: "both" | "response"): Promise<Hit | undefined>;
  /**
   * After a miss whose answer may be kept. Never throws; a failing store means `ask`, and so does the same asker again.
   * @param asker names the turn
   */
  join(query: CacheQuery, cls: PriorityClass, asker: string): Promise<Flight>;
  /**
   * Keeps an answer unless it cites nothing, or the documents it rests on have changed since retrieval, and ends the
   * flight. Best effort: never throws.
   */
  store(query: CacheQuery, answer: CachedAnswer, session: string): Promise<void>;
  /** No answer came that can be kept: who waits asks for himself. */
  giveUp(query: CacheQuery): void;
  /** What the levels hold for a request, and why they would serve it or not. Changes nothing. */
  explain(query: CacheQuery): Promise<ExplainedLevels>;
  /**
   * Removes what a session contributed, from every host.
   * @throws JetclawError `nats.unavailable`: nothing is said to be erased that is not.
   */
  forget(tenant: string, session: string): Promise<void>;
}

/** How a cache answers an operator's question about a question. */
export interface ExplainAsk {
  readonly tenant: string;
  readonly text: string;
  readonly assistant?: string | undefined;
  readonly locale?: string | undefined;
  readonly tier?: string | undefined;
  /** Something was said before it. */
  readonly ongoing: boolean;
}

export interface ExplainedCandidate {
  readonly entry: string;
  readonly text: string;
  /** Null without vectors. */
  readonly cosine: number | null;
  readonly lexical: number;
  /** Guards that forbid to serve it, with what they saw. */
  readonly refused: readonly string[];
  /** What it rests on has not changed, and no new text is near the question. */
  readonly current: boolean;
  readonly documents: readonly string[];
}

/** What the levels hold for a request. */
export interface ExplainedLevels {
  /** Fingerprint of the request: the id that its own entry has or would have. */
  readonly id: string;
  readonly response: {
    /** `uncited`: the model was asked, and cited nothing. */
    readonly state: "hit" | "stale" | "uncited" | "none" | "unknown";
    readonly question?: string | undefined;
    readonly reply?: string | undefined;
  };
  /** Null where the assistant has no semantic cache. */
  readonly semantic: {
    readonly decision: "serve" | "check" | "miss";
    readonly reason: string | null;
    readonly weighed: string | null;
    readonly confidence: number;
    readonly threshold: number;
    readonly lessons: number;
    readonly candidates: readonly ExplainedCandidate[];
  } | null;
}

export interface Explanation extends ExplainedLevels {
  readonly tenant: string;
  readonly assistant: string;
  readonly locale: string;
  readonly tier: string;
  /** Caching is switched off for the assistant or altogether. */
  readonly off: boolean;
  readonly levels: "both" | "response" | "none";
  /** The kind of turn, where it keeps the caches from being asked. */
  readonly reason: string | null;
  readonly passages: readonly {
    readonly collection: string;
    readonly document: string;
    readonly revision: number;
  }[];
}

export interface CacheCounts {
  readonly response: number;
  readonly semantic: number;
  readonly misses: number;
}

/** One host's caches since it started. */
export interface CacheHostStatus {
  readonly instance: string;
  /** In memory. */
  readonly entries: number;
  readonly semantic: number;
  readonly served: CacheCounts;
  /** Hits that were asked of the model as well, and what it said. */
  readonly checks: { readonly agreed: number; readonly differed: number };
}

export interface CacheStatus {
  readonly at: number;
  /** Of the bucket: entries and what leads to them. */
  readonly keys: number;
  readonly bytes: number;
  readonly hosts: readonly CacheHostStatus[];
}

export interface CacheAdmin {
  /** @throws JetclawError `nats.unavailable` */
  status(): Promise<CacheStatus>;
  /** @throws JetclawError `cache.unknown` when no host answers */
  explain(asked: ExplainAsk): Promise<Explanation>;
  /**
   * Removes an entry from every host, and its answer is not kept again for an hour. False when there is none.
   * @throws JetclawError `nats.unavailable`
   */
  remove(tenant: string, id: string): Promise<boolean>;
}

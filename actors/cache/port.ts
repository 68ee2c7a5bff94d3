/** The caches as the conversation sees them: questions that were answered before are answered without a model. */
import type { Citation } from "#contracts/content.ts";
import type { Passage } from "#contracts/job.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import type { Judgement, TurnAtHand } from "./cacheability.ts";

/** A request as the caches compare it. The same object goes through look-up, `join` and `store` of one turn. */
export interface CacheQuery {
  readonly tenant: string;
  readonly assistant: string;
  /** Changes with instructions, knowledge collections or model policy of the assistant. */
  readonly assistantVersion: string;
  readonly tier: string;
  readonly locale: string;
  readonly question: string;
  /** What retrieval found for the question now: an answer made from anything else does not match. */
  readonly passages: readonly Passage[];
  /** `position()` before retrieval. */
  readonly position: number;
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
  /** Up to which change of KNOWLEDGE this process knows the documents. */
  position(): number;
  /**
   * `response`: identical requests only. Never throws and never delays a turn by more than 300 ms, the embedding of the
   * question included: a failing cache is a miss, counted.
   */
  lookup(query: CacheQuery, levels?: "both" | "response"): Promise<Hit | undefined>;
  /** After a miss whose answer may be kept. Never throws; a failing store means `ask`. */
  join(query: CacheQuery, cls: PriorityClass): Promise<Flight>;
  /**
   * Keeps an answer unless it cites nothing, or the documents it rests on have changed since retrieval, and ends the
   * flight. Best effort: never throws.
   */
  store(query: CacheQuery, answer: CachedAnswer, session: string): Promise<void>;
  /** No answer came that can be kept: who waits asks for himself. */
  giveUp(query: CacheQuery): void;
  /**
   * Removes what a session contributed, from every host.
   * @throws JetclawError `nats.unavailable`: nothing is said to be erased that is not.
   */
  forget(tenant: string, session: string): Promise<void>;
}

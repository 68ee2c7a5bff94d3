/**
 * The semantic cache as the rest of the room sees it: a data structure in memory that says whether an earlier answer
 * fits a question, and learns from what the model answers. No clock, no input or output; the same calls give the same
 * decisions. It holds no replies: an entry is known by the id under which its answer is kept elsewhere.
 */
import type { Dependency } from "../key.ts";

/** What never mixes: only entries of exactly this scope are looked at. */
export interface Scope {
  readonly tenant: string;
  readonly assistant: string;
  readonly assistantVersion: string;
  readonly tier: string;
  /** BCP 47; its language chooses words, guards and what was learned. */
  readonly locale: string;
}

export interface Question {
  readonly scope: Scope;
  readonly text: string;
  /** Unit length. Without one the cache compares words alone. */
  readonly vector?: Float32Array | undefined;
  /** Names the model of the vector: what was learned of the cosines of one says nothing of another's. */
  readonly space?: string | undefined;
  /** The documents that retrieval found for the question, best first, where it was asked. */
  readonly found?: readonly DocumentRef[] | undefined;
}

export type DocumentRef = Omit<Dependency, "revision">;

/** What the model answered. */
export interface Outcome {
  /** Id of the answer, unique among all entries. */
  readonly id: string;
  /** What the answer cites, at its revisions. Nothing cited: the question is remembered and never served. */
  readonly documents: readonly Dependency[];
  /** Who asked, as a token that `removeSession` gets. */
  readonly session?: string | undefined;
}

/**
 * A question that was answered once, as data: it can be stored, and loaded by other hosts in any order. What hosts learn
 * travels in their entries: each tells what the cache would have served then and whether that was right.
 */
export interface SemanticEntry {
  readonly v: 1;
  readonly id: string;
  readonly scope: Scope;
  readonly text: string;
  readonly vector?: Float32Array | undefined;
  readonly space?: string | undefined;
  /** Empty: a question that nothing known answers. */
  readonly documents: readonly Dependency[];
  readonly session?: string | undefined;
  readonly trial?: Trial | undefined;
}

/** One lesson: a candidate for a question, and whether the model's answer then rested on the same documents. */
export interface Trial {
  /** Id of the entry that was or would have been served. */
  readonly entry: string;
  /** Measures of the candidate, in the order of `FEATURES`. */
  readonly features: readonly number[];
  readonly agreed: boolean;
  /** Lessons of checks are rare and stand for all that was served unchecked. */
  readonly weight: number;
}

export interface Candidate {
  readonly entry: string;
  readonly text: string;
  readonly documents: readonly Dependency[];
  readonly cosine?: number | undefined;
  readonly lexical: number;
  /** Guards that forbid to serve it, with what they saw: `number 42`. Empty: it may be served. */
  readonly refused: readonly string[];
}

/** Why the cache decided so: what `explain` prints and `learn` learns from. */
export interface Evidence {
  /** Nearest first. */
  readonly candidates: readonly Candidate[];
  /** The candidate that was weighed. */
  readonly weighed?: string | undefined;
  /** Its measures, in the order of `FEATURES`. */
  readonly features?: readonly number[] | undefined;
  /** Estimated probability that serving it is right. */
  readonly confidence: number;
  /** What the confidence had to reach. */
  readonly threshold: number;
  /** Lessons from which both are known. */
  readonly lessons: number;
}

export type MissReason =
  /** Nothing in the scope comes near. */
  | "nothing-near"
  /** The nearest questions rest on nothing: the model could not answer them. */
  | "ungrounded"
  /** A guard refused every candidate. */
  | "guarded"
  /** Too few lessons in this language yet. */
  | "learning"
  /** The confidence does not reach the threshold. */
  | "unsure";

export type Verdict =
  | { readonly kind: "serve"; readonly entry: SemanticEntry; readonly evidence: Evidence }
  /** Would be served, and is drawn for a check: ask the model, and `learn` what it says. */
  | { readonly kind: "check"; readonly entry: SemanticEntry; readonly evidence: Evidence }
  | { readonly kind: "miss"; readonly reason: MissReason; readonly evidence: Evidence };

export interface SemanticCache {
  /** Changes nothing but the draw of checks and the confidences by which the threshold follows the traffic. */
  lookup(question: Question): Verdict;
  /** After each miss and each check. @returns the entry to keep and to give to other hosts */
  learn(question: Question, outcome: Outcome, verdict: Verdict): SemanticEntry;
  /** Takes in an entry that this or another host learned. False when it is there already. */
  add(entry: SemanticEntry): boolean;
  get(id: string): SemanticEntry | undefined;
  /** In the order in which they came; all of them make the same cache again. */
  entries(): IterableIterator<SemanticEntry>;
  readonly size: number;
  remove(id: string): boolean;
  /** Entries that rest on the document at another revision than this. @returns their ids */
  removeDocument(tenant: string, document: DocumentRef, revision?: number): string[];
  /** All that the session contributed, its lessons included. @returns the ids */
  removeSession(tenant: string, session: string): string[];
}

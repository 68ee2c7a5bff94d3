/** What other rooms see of knowledge: the documents (source of truth) and retrieval over them. */

import type { DocumentChange } from "#contracts/cloudevent.ts";
import type { Passage } from "#contracts/job.ts";
import type { DocumentInput, KnowledgeDocument, ListedDocument } from "#contracts/knowledge.ts";

export interface KnowledgeStore {
  /** Stores a document. @returns its revision: the sequence of the change in KNOWLEDGE. */
  put(
    tenant: string,
    collection: string,
    document: string,
    input: DocumentInput,
  ): Promise<{ revision: number }>;
  get(tenant: string, collection: string, document: string): Promise<KnowledgeDocument | undefined>;
  /** Undefined when there was no such document. */
  delete(tenant: string, collection: string, document: string): Promise<{ revision: number } | undefined>;
  /**
   * A change that another system tells of. What was told before, or is older than what the store has, changes nothing.
   * @throws JetclawError `request.id`, `nats.unavailable`, `nats.too-large`
   */
  change(tenant: string, collection: string, change: DocumentChange): Promise<ChangeOutcome>;
  /**
   * A page of a collection in the order of the last change, 1,000 documents unless told otherwise. A document that
   * changes while somebody pages comes again, later; none is missed.
   */
  list(tenant: string, collection: string, page?: ListPage): Promise<Listing>;
  /**
   * Resolves when every live reader has passed the revision and dependent cache entries are no longer served.
   * False when that took longer than `timeoutMs`.
   */
  waitIndexed(revision: number, timeoutMs: number): Promise<boolean>;
}

export interface ListPage {
  /** `next` of the page before. */
  readonly after?: number | undefined;
  /** Most documents. */
  readonly limit?: number | undefined;
}

export interface Listing {
  readonly documents: ListedDocument[];
  /** Where the next page begins; undefined on the last one. */
  readonly next?: number | undefined;
  /** The highest revision that the page has passed, deletions included; 0 for an empty one. */
  readonly revision: number;
}

export interface ChangeOutcome {
  readonly document: string;
  /** `late`: the store has a newer change. `duplicate`: it has had this event. */
  readonly outcome: "stored" | "unchanged" | "deleted" | "late" | "duplicate";
  /** Of the document as it is now; 0 where there was never one. */
  readonly revision: number;
}

export interface RetrievalQuery {
  readonly tenant: string;
  readonly collections: readonly string[];
  readonly question: string;
  readonly locale?: string | undefined;
  readonly limit: number;
  /** The question's vector where whoever asks has it; null: it tried and got none. Left out: retrieval embeds it. */
  readonly vector?: Float32Array | null | undefined;
}

/**
 * A change as the store took it. A stream that was restored, made anew or cut short by a power cut gives its sequences
 * out twice, but never twice at the same moment: both together name one change for good.
 */
export interface StoredChange {
  /** Its sequence in KNOWLEDGE. */
  readonly revision: number;
  /** Ms since the epoch, by the server. */
  readonly storedAt: number;
}

export interface Retriever {
  /** Best passages first, at most `limit`; empty when nothing matches. */
  retrieve(query: RetrievalQuery): Promise<Passage[]>;
}

/** Retrieval that knows whether it may be relied on. */
export interface ProvenRetriever extends Retriever {
  /** False while changes may have been acknowledged as indexed without this process. */
  fresh(): boolean;
  /** Resolves at once while it is fresh, and after at most 300 ms where it has to prove itself. */
  settled(): Promise<void>;
  /** The last change of a document as this process knows it; undefined when it does not exist. */
  changeOf(tenant: string, collection: string, document: string): StoredChange | undefined;
  /** When the newest change that this process has taken in was stored, ms since the epoch; 0 before the first. */
  readonly newestAt: number;
}

/** A model that turns texts into vectors. */
export interface Embedder {
  readonly model: string;
  /** Opens the way to the model, so that the first text does not wait for that; nothing is embedded. Never throws. */
  connect?(): Promise<void>;
  /** Numbers of a vector: as configured, else as in the last answer; undefined before it. */
  readonly dimensions: number | undefined;
  /**
   * One vector a text, of unit length, in the order of the texts. A signal that times out counts as the model's failure.
   * @throws JetclawError `embeddings.unavailable`, `embeddings.rejected`; `vectors.dimension` where the model gives others
   * than configured; the signal's reason once it is aborted.
   */
  embed(texts: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<Float32Array[]>;
  /** What is remembered may be of a model that is not there any more. */
  forget?(): void;
}

/** Vectors of what people ask, shared by everything that a turn asks them for. */
export interface QuestionVectors {
  readonly model: string;
  /** Never throws and never takes longer than 200 ms after the first call for this question; undefined then, counted. */
  vectorOf(question: string): Promise<Float32Array | undefined>;
}

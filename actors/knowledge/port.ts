/** What other rooms see of knowledge: the documents (source of truth) and retrieval over them. */
import type { Passage } from "#contracts/job.ts";
import type { DocumentInput, KnowledgeDocument } from "#contracts/knowledge.ts";

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
  list(tenant: string, collection: string): Promise<Omit<KnowledgeDocument, "text">[]>;
  /**
   * Resolves when every live reader has passed the revision and dependent cache entries are no longer served.
   * False when that took longer than `timeoutMs`.
   */
  waitIndexed(revision: number, timeoutMs: number): Promise<boolean>;
}

export interface RetrievalQuery {
  readonly tenant: string;
  readonly collections: readonly string[];
  readonly question: string;
  readonly locale?: string | undefined;
  readonly limit: number;
}

export interface Retriever {
  /** Best passages first, at most `limit`; empty when nothing matches. */
  retrieve(query: RetrievalQuery): Promise<Passage[]>;
  /** The current revision of a document as this process knows it; undefined when it does not exist. */
  revisionOf(tenant: string, collection: string, document: string): number | undefined;
}

/** A model that turns texts into vectors. */
export interface Embedder {
  readonly model: string;
  /** Numbers of a vector; undefined until the first answer where the configuration names none. */
  readonly dimensions: number | undefined;
  /**
   * One vector a text, of unit length, in the order of the texts. A signal that times out counts as the model's failure.
   * @throws JetclawError `embeddings.unavailable`, `embeddings.rejected`; the signal's reason once it is aborted.
   */
  embed(texts: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<Float32Array[]>;
}

/** Vectors of what people ask, shared by everything that a turn asks them for. */
export interface QuestionVectors {
  readonly model: string;
  /** Never throws and never takes longer than 200 ms after the first call for this question; undefined then, counted. */
  vectorOf(question: string): Promise<Float32Array | undefined>;
}

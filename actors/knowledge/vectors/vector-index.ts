/** What an index of vectors offers. Two adapters, in memory and in Qdrant, pass one conformance suite. */
import { JetclawError } from "#contracts/errors.ts";

/** BCP 47 for a language that nobody knows. */
export const UNKNOWN_LANGUAGE = "und";

export interface DocumentAddress {
  readonly tenant: string;
  readonly collection: string;
  readonly document: string;
}

/** The vectors of one revision of a document, one a passage, in the order of the passages. */
export interface VectorDocument extends DocumentAddress {
  readonly revision: number;
  /** ISO 639-1, or `UNKNOWN_LANGUAGE`: it is found in every language then. */
  readonly language: string;
  /** Of the text behind each vector. */
  readonly hashes: readonly string[];
  /** Of unit length. */
  readonly vectors: readonly Float32Array[];
}

export interface VectorQuery {
  readonly tenant: string;
  readonly collections: readonly string[];
  /** Only these, and documents of unknown language; all when left out. */
  readonly languages?: readonly string[] | undefined;
  /** Of unit length. */
  readonly vector: Float32Array;
  readonly limit: number;
}

export interface VectorHit {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
  readonly language: string;
  /** Number of the passage in the document, from 0. */
  readonly passage: number;
  readonly hash: string;
  /** Cosine, -1 to 1. */
  readonly score: number;
}

export interface VectorIndex {
  readonly kind: "embedded" | "qdrant";
  /**
   * Takes in revisions and takes out the lower ones of the same documents. A revision below one that is there changes
   * nothing; the same one again replaces itself.
   * @throws JetclawError `vectors.dimension` where a vector has another length than configured, and nothing is taken in; `vectors.rejected` where the index takes none of the documents for what one of them is;
   * `vectors.unavailable`
   */
  upsert(documents: readonly VectorDocument[]): Promise<void>;
  /** Takes out every revision up to this one. @throws JetclawError `vectors.unavailable` */
  remove(deleted: readonly (DocumentAddress & { readonly revision: number })[]): Promise<void>;
  /**
   * The nearest passages of those whose vectors are as long as this one, best first; empty where nothing was taken in.
   * @throws as `upsert`; an index that knows what it holds says `vectors.dimension` where nothing of it is as long
   */
  search(query: VectorQuery): Promise<VectorHit[]>;
  /** Takes out a whole collection of a tenant, or all of the tenant. @throws JetclawError `vectors.unavailable` */
  erase(tenant: string, collection?: string): Promise<void>;
  /** Vectors that are there. @throws JetclawError `vectors.unavailable` */
  count(tenant?: string): Promise<number>;
  /** Whether there is none, which is cheaper to tell. @throws JetclawError `vectors.unavailable` */
  isEmpty(): Promise<boolean>;
  close(): Promise<void>;
}

/** Each document's vectors have one length, the expected one where there is. @throws JetclawError `vectors.dimension` */
export function assertLengths(documents: readonly VectorDocument[], expected: number | undefined): void {
  for (const { vectors } of documents)
    for (const vector of vectors) assertDimension(expected ?? (vectors[0] as Float32Array).length, vector);
}

/** @throws JetclawError `vectors.dimension` */
export function assertDimension(expected: number, vector: Float32Array): void {
  if (vector.length !== expected)
    throw new JetclawError(
      "vectors.dimension",
      `the index holds ${expected} numbers a vector, not ${vector.length}`,
    );
}

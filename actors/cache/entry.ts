/** An answer as the caches keep it: with the documents it rests on, and with nothing that names who asked. */
import { decode, encode } from "#contracts/codec.ts";
import type { Dependency } from "./key.ts";
import type { CachedAnswer, CacheQuery } from "./port.ts";

const ENTRY_VERSION = 2;

export interface Entry {
  readonly v: number;
  /** The fingerprint of its request. */
  readonly id: string;
  readonly tenant: string;
  readonly question: string;
  readonly answer: CachedAnswer;
  readonly dependencies: readonly Dependency[];
  /** Change of KNOWLEDGE up to which the documents were known when its passages were found. */
  readonly position: number;
  /** `originOf` the session that caused it. */
  readonly origin: string;
  /** Ms since the epoch. */
  readonly at: number;
}

/** What this process knows of the documents now: its retriever. */
export interface CurrentRevisions {
  revisionOf(tenant: string, collection: string, document: string): number | undefined;
  /** False while changes may have passed unnoticed: nothing is served or kept then. */
  fresh(): boolean;
  /** Highest sequence of KNOWLEDGE that the index has passed. */
  readonly position: number;
}

export function entryOf(
  id: string,
  query: CacheQuery,
  answer: CachedAnswer,
  origin: string,
  at: number,
): Entry {
  return {
    v: ENTRY_VERSION,
    id,
    tenant: query.tenant,
    question: query.question,
    answer: { reply: answer.reply, citations: answer.citations, model: answer.model },
    dependencies: dependenciesOf([...answer.citations, ...query.passages]),
    position: query.position,
    origin,
    at,
  };
}

export const encodeEntry = (entry: Entry): Uint8Array => encode(entry);

/** Undefined for another version's entry: it is as good as none. */
export function decodeEntry(data: Uint8Array): Entry | undefined {
  const entry = decode<Entry | null>(data);
  return entry?.v === ENTRY_VERSION ? entry : undefined;
}

/** True while every document that the entry rests on has the revision it had then. */
export function isCurrent(entry: Entry, tenant: string, revisions: CurrentRevisions): boolean {
  return (
    entry.tenant === tenant &&
    revisions.fresh() &&
    entry.dependencies.every((on) => revisions.revisionOf(tenant, on.collection, on.document) === on.revision)
  );
}

/** Each document and revision once. The same document at two revisions stays twice, and serves never. */
function dependenciesOf(sources: readonly Dependency[]): Dependency[] {
  const unique = new Map<string, Dependency>();
  for (const { collection, document, revision } of sources)
    unique.set(JSON.stringify([collection, document, revision]), { collection, document, revision });
  return [...unique.values()];
}

/** An answer as the caches keep it: with the documents it rests on, and with nothing that names who asked. */
import { decode, encode } from "#contracts/codec.ts";
import type { Dependency } from "./key.ts";
import type { CachedAnswer, CacheQuery, Position } from "./port.ts";
import type { Scope, Trial } from "./semantic/port.ts";

const ENTRY_VERSION = 3;

export interface Entry {
  readonly v: number;
  /** The fingerprint of its request. */
  readonly id: string;
  readonly tenant: string;
  readonly scope: Omit<Scope, "tenant">;
  readonly question: string;
  /** Absent: the model cited nothing. Never served; the semantic level remembers that nothing known answers it. */
  readonly answer?: CachedAnswer | undefined;
  /** What was cited. */
  readonly documents: readonly Dependency[];
  /** What was cited and what the model was given: each at the revision at which the entry is current. */
  readonly dependencies: readonly Dependency[];
  /** Of everything that was searched when its passages were found. */
  readonly position: Position;
  /** `originOf` the session that caused it. */
  readonly origin: string;
  /** Ms since the epoch. */
  readonly at: number;
  readonly vector?: Float32Array | undefined;
  /** Model of the vector. */
  readonly space?: string | undefined;
  /** What was learned from it. */
  readonly trial?: Trial | undefined;
}

/** What this process knows of the documents now: its retriever. */
export interface CurrentRevisions {
  /** The last change of a document; undefined where it does not exist. */
  changeOf(
    tenant: string,
    collection: string,
    document: string,
  ): Pick<Dependency, "revision" | "storedAt"> | undefined;
  /** False while changes may have passed unnoticed: nothing is served or kept then. */
  fresh(): boolean;
  /** Change of KNOWLEDGE up to which everything is searched, by words and vectors, wherever questions are asked. */
  readonly position: number;
  /** When the newest change that this process knows was stored, ms since the epoch. */
  readonly newestAt: number;
}

export function entryOf(
  id: string,
  query: CacheQuery,
  answer: CachedAnswer,
  origin: string,
  at: number,
): Entry {
  const { tenant, assistant, assistantVersion, tier, locale, question, passages, position } = query;
  const { reply, citations, model } = answer;
  return {
    v: ENTRY_VERSION,
    id,
    tenant,
    scope: { assistant, assistantVersion, tier, locale },
    question,
    ...(citations.length > 0 ? { answer: { reply, citations, model } } : {}),
    documents: dependenciesOf(citations, passages),
    dependencies: dependenciesOf([...citations, ...passages], passages),
    position,
    origin,
    at,
  };
}

export function encodeEntry({ vector, ...entry }: Entry): Uint8Array {
  return encode(
    vector
      ? { ...entry, vector: new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength) }
      : entry,
  );
}

type Stored = Omit<Entry, "vector"> & { readonly vector?: Uint8Array | null };

/** Undefined for another version's entry: it is as good as none. */
export function decodeEntry(data: Uint8Array): Entry | undefined {
  const stored = decode<Stored | null>(data);
  if (stored?.v !== ENTRY_VERSION) return undefined;
  const { vector, answer, trial, ...entry } = stored;
  return {
    ...entry,
    ...(answer ? { answer } : {}),
    ...(trial ? { trial } : {}),
    // Copied: its bytes stand at any offset, and a Float32Array needs one that four divides.
    ...(vector ? { vector: new Float32Array(new Uint8Array(vector).buffer) } : {}),
  };
}

/** True while every document that the entry rests on is at the change it was at then. */
export function isCurrent(entry: Entry, tenant: string, revisions: CurrentRevisions): boolean {
  return (
    entry.tenant === tenant &&
    revisions.fresh() &&
    entry.dependencies.every(({ collection, document, revision, storedAt }) => {
      const now = revisions.changeOf(tenant, collection, document);
      return now !== undefined && now.revision === revision && now.storedAt === storedAt;
    })
  );
}

/**
 * Something was written since the entry's passages were found, and retrieval finds it for this question: the answer may
 * lack what it says. Revisions are sequences of one stream, so the comparison is exact; what a restored stream took since
 * then was stored later than anything that the entry's host knew.
 */
export const hasNewText = (
  { position }: Pick<Entry, "position">,
  { passages }: Pick<CacheQuery, "passages">,
): boolean =>
  passages.some(({ revision, storedAt }) => revision > position.revision || storedAt > position.storedAt);

/** Each document and revision once. The same document at two revisions stays twice, and serves never. */
function dependenciesOf(sources: readonly Dependency[], passages: readonly Dependency[]): Dependency[] {
  const nameOf = ({ collection, document, revision }: Dependency): string =>
    JSON.stringify([collection, document, revision]);
  // A citation names its passage's document and revision.
  const stored = new Map(passages.map((passage) => [nameOf(passage), passage.storedAt]));
  const unique = new Map<string, Dependency>();
  for (const source of sources) {
    const { collection, document, revision } = source;
    const name = nameOf(source);
    unique.set(name, { collection, document, revision, storedAt: stored.get(name) ?? Number.NaN });
  }
  return [...unique.values()];
}

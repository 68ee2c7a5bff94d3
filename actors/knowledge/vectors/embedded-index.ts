/**
 * Vectors in the memory of this process. Filters are exact: every tenant, collection and language is a partition, and so
 * is every length of vectors: while all are made anew with another model, a question finds those that it can be compared with.
 */
import { inSlices } from "#runtime/slices.ts";
import type { Graph } from "./graph.ts";
import { Partition, type Place } from "./partition.ts";
import {
  assertDimension,
  assertLengths,
  type DocumentAddress,
  UNKNOWN_LANGUAGE,
  type VectorDocument,
  type VectorHit,
  type VectorIndex,
  type VectorQuery,
} from "./vector-index.ts";

/** A document may have a thousand vectors, and a graph takes a millisecond for each. */
const SLICE_MS = 15;

type Found = Omit<VectorHit, "score">;

interface Entry {
  readonly revision: number;
  readonly partition: Partition<Found> | undefined;
  readonly places: readonly Place<Found>[];
}

export interface EmbeddedOptions {
  /** Numbers of a vector; any when left out. */
  readonly dimensions?: number | undefined;
  /** Left out: everything is compared, which is slow beyond some ten thousand vectors. */
  readonly makeGraph?: ((dimensions: number) => Graph) | undefined;
  /** Vectors of a partition that are compared one by one. */
  readonly exactMost?: number | undefined;
}

// Ids hold no control characters, so this separator cannot occur in them.
const keyOf = (...ids: string[]): string => ids.join("\n");

export class EmbeddedIndex implements VectorIndex {
  readonly kind = "embedded";
  readonly #options: EmbeddedOptions;
  /** By tenant, collection, language and length, in this order. */
  readonly #tenants = new Map<string, Map<string, Map<string, Map<number, Partition<Found>>>>>();
  /** A document that was taken out keeps its entry: its revision refuses older ones. */
  readonly #documents = new Map<string, Entry>();

  constructor(options: EmbeddedOptions = {}) {
    this.#options = options;
  }

  async upsert(documents: readonly VectorDocument[]): Promise<void> {
    assertLengths(documents, this.#options.dimensions);
    for (const document of documents)
      await (document.vectors.length === 0
        ? this.remove([document])
        : inSlices(this.#replacing(document), SLICE_MS));
  }

  async remove(deleted: readonly (DocumentAddress & { readonly revision: number })[]): Promise<void> {
    for (const { tenant, collection, document, revision } of deleted) {
      const entry = { revision, partition: undefined, places: [] };
      await inSlices(this.#setting(keyOf(tenant, collection, document), entry), SLICE_MS);
    }
  }

  async search({ tenant, collections, languages, vector, limit }: VectorQuery): Promise<VectorHit[]> {
    assertDimension(this.#options.dimensions ?? vector.length, vector);
    const wanted = languages && new Set([UNKNOWN_LANGUAGE, ...languages]);
    const hits: VectorHit[] = [];
    let compared = false;
    let other: number | undefined;
    for (const collection of new Set(collections))
      for (const [language, lengths] of this.#tenants.get(tenant)?.get(collection) ?? [])
        for (const [length, partition] of !wanted || wanted.has(language) ? lengths : []) {
          if (partition.size === 0) continue;
          if (length !== vector.length) {
            other = length;
            continue;
          }
          compared = true;
          for (const { of, score } of partition.search(vector, limit)) hits.push({ ...of, score });
        }
    if (!compared && other !== undefined) assertDimension(other, vector);
    return hits.sort((a, b) => b.score - a.score).slice(0, limit);
  }

  /** The highest revision of a document that was taken in or out. */
  revisionOf({ tenant, collection, document }: DocumentAddress): number | undefined {
    return this.#documents.get(keyOf(tenant, collection, document))?.revision;
  }

  /** As if nothing of it had ever been taken in: lower revisions are no longer refused. */
  forget({ tenant, collection, document }: DocumentAddress): void {
    const key = keyOf(tenant, collection, document);
    const known = this.#documents.get(key);
    for (const place of known?.places ?? []) known?.partition?.remove(place);
    this.#documents.delete(key);
  }

  async erase(tenant: string, collection?: string): Promise<void> {
    const prefix = `${collection === undefined ? tenant : keyOf(tenant, collection)}\n`;
    for (const key of this.#documents.keys()) if (key.startsWith(prefix)) this.#documents.delete(key);
    if (collection === undefined) this.#tenants.delete(tenant);
    else this.#tenants.get(tenant)?.delete(collection);
  }

  async count(tenant?: string): Promise<number> {
    const tenants = tenant === undefined ? [...this.#tenants.values()] : [this.#tenants.get(tenant)];
    return tenants
      .flatMap((collections) => [...(collections?.values() ?? [])].flatMap((each) => [...each.values()]))
      .flatMap((lengths) => [...lengths.values()])
      .reduce((sum, { size }) => sum + size, 0);
  }

  async isEmpty(): Promise<boolean> {
    return (await this.count()) === 0;
  }

  async close(): Promise<void> {
    this.#tenants.clear();
    this.#documents.clear();
  }

  *#replacing(given: VectorDocument): Generator<undefined, void> {
    const { tenant, collection, document, revision, language, hashes, vectors } = given;
    const { length } = vectors[0] as Float32Array;
    const partition = this.#partitionOf(tenant, collection, language, length);
    const key = keyOf(tenant, collection, document);
    if ((this.#documents.get(key)?.revision ?? 0) > revision) return;
    const places: Place<Found>[] = [];
    for (const [passage, vector] of vectors.entries()) {
      const of = { collection, document, revision, language, passage, hash: hashes[passage] ?? "" };
      places.push(partition.add(of, vector));
      yield;
    }
    yield* this.#setting(key, { revision, partition, places });
  }

  /** What a newer revision, taken in between two steps, has made superfluous goes at once. */
  *#setting(key: string, entry: Entry): Generator<undefined, void> {
    const known = this.#documents.get(key);
    const newer = known !== undefined && known.revision > entry.revision;
    if (!newer) this.#documents.set(key, entry);
    const gone = newer ? entry : known;
    for (const place of gone?.places ?? []) {
      gone?.partition?.remove(place);
      yield;
    }
  }

  #partitionOf(tenant: string, collection: string, language: string, dimensions: number): Partition<Found> {
    const { makeGraph, exactMost } = this.#options;
    const collections = entryOf(this.#tenants, tenant, () => new Map());
    const languages = entryOf(collections, collection, () => new Map());
    const lengths = entryOf(languages, language, () => new Map());
    return entryOf(lengths, dimensions, () => new Partition<Found>(dimensions, makeGraph, exactMost));
  }
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

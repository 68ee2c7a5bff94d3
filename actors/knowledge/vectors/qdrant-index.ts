/**
 * Vectors in Qdrant: a collection a model and dimension, behind an alias, so that a new one can be filled beside
 * traffic and take over at once. Points carry their revision in id and payload: a late write of an old revision never
 * overwrites a newer one, and a search of what changed meanwhile shows which hits are old.
 */
import type { Breaker } from "#runtime/breaker.ts";
import { patience } from "#runtime/within.ts";
import { isMissing, isTooLarge, QdrantRequests } from "./qdrant-client.ts";
import { type CollectionOptions, QdrantCollections } from "./qdrant-collections.ts";
import { documentKey, pointId } from "./qdrant-names.ts";
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

export interface QdrantIndexOptions extends CollectionOptions {
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Numbers of a vector; any when left out, each length in a collection of its own. */
  readonly dimensions?: number | undefined;
  /** Patience with a write. */
  readonly timeoutMs?: number | undefined;
  /** The collection was gone and had to be made anew: what it held is missing. */
  readonly onRemade?: (() => void) | undefined;
  /** Whether a higher revision than one that is taken in counts for nothing: its change is not there any more. */
  readonly isFormer?: ((there: Deleted) => Promise<boolean>) | undefined;
}

const WRITE_MS = 30_000;
const WRITE_RETRIES = 3;
/** A turn waits so long for a search. */
const SEARCH_MS = 200;
/** Points of one request: a body of a few megabytes. A proxy may take less, nginx one megabyte. */
const UPSERT_POINTS = 256;

interface Payload {
  readonly collection: string;
  readonly document: string;
  readonly revision: number;
  readonly language: string;
  readonly passage: number;
  readonly hash: string;
}

type Deleted = DocumentAddress & { readonly revision: number };

export class QdrantIndex implements VectorIndex {
  readonly kind = "qdrant";
  readonly #writes: QdrantRequests;
  readonly #searches: QdrantRequests;
  readonly #collections: QdrantCollections;
  readonly #onRemade: QdrantIndexOptions["onRemade"];
  readonly #isFormer: QdrantIndexOptions["isFormer"];
  readonly #dimensions: number | undefined;
  #upsertPoints = UPSERT_POINTS;
  /** Not even one point was taken: how many there were was not the reason. */
  #tookNone = false;

  constructor(options: QdrantIndexOptions) {
    this.#onRemade = options.onRemade;
    this.#isFormer = options.isFormer;
    const { url, apiKey, timeoutMs = WRITE_MS } = options;
    this.#writes = new QdrantRequests({ url, apiKey, timeoutMs, retries: WRITE_RETRIES });
    this.#searches = new QdrantRequests({ url, apiKey, timeoutMs: patience(SEARCH_MS), retries: 0 });
    this.#collections = new QdrantCollections(this.#writes, options);
    this.#dimensions = options.dimensions;
  }

  /** State of the breaker in front of writes and searches, the worse of them. */
  get breaker(): Breaker["state"] {
    return this.#searches.breaker === "closed" ? this.#writes.breaker : this.#searches.breaker;
  }

  async upsert(documents: readonly VectorDocument[]): Promise<void> {
    assertLengths(documents, this.#dimensions);
    for (const [length, some] of Map.groupBy(documents, ({ vectors: [vector] }) => vector?.length ?? 0))
      await (length === 0 ? this.remove(some) : this.#upsert(length, some));
  }

  async #upsert(dimensions: number, documents: readonly VectorDocument[]): Promise<void> {
    try {
      await this.#replace(await this.#collections.ensure(dimensions), documents);
    } catch (error) {
      if (!isMissing(error)) throw error;
      // Qdrant came back without what it held, or somebody has dropped it.
      this.#collections.forget(dimensions);
      await this.#replace(await this.#collections.ensure(dimensions), documents);
      this.#onRemade?.();
    }
  }

  async #replace(name: string, documents: readonly VectorDocument[]): Promise<void> {
    const known = await this.#revisionsOf(name, documents);
    await this.#removeFormer(name, newest(documents), known);
    const current = newest(documents).filter(
      ({ revision, ...address }) => revision >= (known.get(documentKey(address))?.highest ?? 0),
    );
    await this.#put(name, current.flatMap(pointsOf));
    // The old ones last: at no time a document is missing.
    await this.#removeBelow(
      name,
      current
        .filter((each) => known.has(documentKey(each)))
        .map((each) => ({ ...each, passages: each.vectors.length })),
    );
  }

  /** The store was restored, and Qdrant was not. */
  async #removeFormer(
    name: string,
    documents: readonly Deleted[],
    known: Map<string, { highest: number }>,
  ): Promise<void> {
    for (const { tenant, collection, document, revision } of documents) {
      const address = { tenant, collection, document };
      const { highest = 0 } = known.get(documentKey(address)) ?? {};
      if (highest <= revision || !(await this.#isFormer?.({ ...address, revision: highest }))) continue;
      await this.#removeBelow(name, [{ ...address, revision: highest + 1 }]);
      known.delete(documentKey(address));
    }
  }

  /** Points are equally large: a request that is too large is halved, and so are all after it. */
  async #put(name: string, points: readonly Point[]): Promise<void> {
    for (let at = 0; at < points.length; ) {
      const some = points.slice(at, at + this.#upsertPoints);
      try {
        await this.#writes.send("upsert", (client) => client.upsert(name, { wait: true, points: some }));
        at += some.length;
        if (this.#tookNone) this.#upsertPoints = UPSERT_POINTS;
        this.#tookNone = false;
      } catch (error) {
        if (!isTooLarge(error)) throw error;
        this.#tookNone = some.length === 1;
        if (this.#tookNone) throw error;
        this.#upsertPoints = some.length >> 1;
      }
    }
  }

  async remove(deleted: readonly Deleted[]): Promise<void> {
    if (deleted.length === 0) return;
    const below = deleted.map((each) => ({ ...each, revision: each.revision + 1 }));
    await this.#onTargets((name) => this.#removeBelow(name, below));
  }

  async search({ tenant, collections, languages, vector, limit }: VectorQuery): Promise<VectorHit[]> {
    assertDimension(this.#dimensions ?? vector.length, vector);
    if (collections.length === 0 || limit <= 0) return [];
    const name = this.#collections.aliasFor(vector.length);
    const must = [
      { key: "tenant", match: { value: tenant } },
      { key: "collection", match: { any: [...new Set(collections)] } },
      ...(languages
        ? [{ key: "language", match: { any: [...new Set([UNKNOWN_LANGUAGE, ...languages])] } }]
        : []),
    ];
    try {
      const { points } = await this.#searches.send("search", (client) =>
        client.query(name, { query: [...vector], filter: { must }, limit, with_payload: true }),
      );
      return points.map(({ payload, score }) => {
        const { collection, document, revision, language, passage, hash } = payload as unknown as Payload;
        return { collection, document, revision, language, passage, hash, score };
      });
    } catch (error) {
      // Nothing was ever taken in.
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async erase(tenant: string, collection?: string): Promise<void> {
    const must = [
      { key: "tenant", match: { value: tenant } },
      ...(collection === undefined ? [] : [{ key: "collection", match: { value: collection } }]),
    ];
    await this.#onTargets((name) =>
      this.#writes.send("erase", (client) => client.delete(name, { wait: true, filter: { must } })),
    );
  }

  async count(tenant?: string): Promise<number> {
    const filter =
      tenant === undefined ? {} : { filter: { must: [{ key: "tenant", match: { value: tenant } }] } };
    const counts = await this.#onTargets((name) =>
      this.#writes.send("count", (client) => client.count(name, { exact: true, ...filter })),
    );
    return counts.reduce((sum, { count }) => sum + count, 0);
  }

  async isEmpty(): Promise<boolean> {
    const pages = await this.#onTargets((name) =>
      this.#writes.send("scroll", (client) =>
        client.scroll(name, { limit: 1, with_payload: false, with_vector: false }),
      ),
    );
    return pages.every(({ points }) => points.length === 0);
  }

  async close(): Promise<void> {}

  /**
   * Where removals go. How long vectors are may have changed since this process has taken in any: it asks what there is of
   * its model. A collection that is gone has nothing to be removed.
   */
  async #onTargets<T>(work: (name: string) => Promise<T>): Promise<T[]> {
    const results: T[] = [];
    const known = this.#dimensions;
    for (const dimensions of known === undefined ? await this.#collections.dimensions() : [known])
      try {
        const name = await this.#collections.existing(dimensions);
        if (name !== undefined) results.push(await work(name));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    return results;
  }

  /** Of the documents that are there, their highest revision. A first passage stands for its document. */
  async #revisionsOf(
    name: string,
    documents: readonly DocumentAddress[],
  ): Promise<Map<string, { highest: number }>> {
    const keys = [...new Set(documents.map(documentKey))];
    const known = new Map<string, { highest: number }>();
    if (keys.length === 0) return known;
    const must = [
      { key: "key", match: { any: keys } },
      { key: "passage", match: { value: 0 } },
    ];
    let offset: string | number | undefined;
    do {
      const page = await this.#writes.send("scroll", (client) =>
        client.scroll(name, {
          filter: { must },
          limit: UPSERT_POINTS,
          with_payload: ["key", "revision"],
          with_vector: false,
          ...(offset === undefined ? {} : { offset }),
        }),
      );
      for (const { payload } of page.points) {
        const { key, revision } = payload as { key: string; revision: number };
        known.set(key, { highest: Math.max(revision, known.get(key)?.highest ?? 0) });
      }
      offset =
        typeof page.next_page_offset === "string" || typeof page.next_page_offset === "number"
          ? page.next_page_offset
          : undefined;
    } while (offset !== undefined);
    return known;
  }

  /** Lower revisions, and of this one the passages that it no longer has. */
  async #removeBelow(
    name: string,
    documents: readonly (Deleted & { readonly passages?: number })[],
  ): Promise<void> {
    if (documents.length === 0) return;
    const should = documents.flatMap((each) => {
      const key = { key: "key", match: { value: documentKey(each) } };
      const { revision, passages } = each;
      const lower = { must: [key, { key: "revision", range: { lt: revision } }] };
      if (passages === undefined) return [lower];
      const same = { key: "revision", match: { value: revision } };
      return [lower, { must: [key, same, { key: "passage", range: { gte: passages } }] }];
    });
    await this.#writes.send("delete", (client) => client.delete(name, { wait: true, filter: { should } }));
  }
}

/** Of a document that is given more than once, the highest revision. */
function newest(documents: readonly VectorDocument[]): VectorDocument[] {
  const byKey = new Map<string, VectorDocument>();
  for (const document of documents) {
    const key = documentKey(document);
    if ((byKey.get(key)?.revision ?? 0) <= document.revision) byKey.set(key, document);
  }
  return [...byKey.values()];
}

type Point = ReturnType<typeof pointsOf>[number];

function pointsOf(given: VectorDocument) {
  const { tenant, collection, document, revision, language, hashes, vectors } = given;
  const key = documentKey(given);
  return vectors.map((vector, passage) => ({
    id: pointId(given, revision, passage),
    vector: [...vector],
    payload: { tenant, collection, document, key, revision, language, passage, hash: hashes[passage] ?? "" },
  }));
}

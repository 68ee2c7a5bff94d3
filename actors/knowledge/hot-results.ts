/**
 * The knowledge cache: what was found for a question, in memory with a bound. A result holds as long as nothing in the
 * collections it was looked for in has changed, so it is never older than the index itself.
 */
import { LRUCache } from "lru-cache";
import type { Passage } from "#contracts/job.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { textHash } from "./embeddings/text-hash.ts";
import type { RetrievalQuery } from "./port.ts";

const MEMORY_BYTES = 16 * 1024 * 1024;
/** What a passage takes beside its text. */
const PASSAGE_BYTES = 600;

interface Hot {
  readonly passages: readonly Passage[];
  readonly version: string;
}

export class HotResults {
  readonly #results: LRUCache<string, Hot>;
  /** Of each tenant and collection, how often it has changed here. */
  readonly #versions = new Map<string, number>();
  #elsewhere = 0;

  /** @param options.ttlMs for an index elsewhere, of whose changes this process may miss to be told */
  constructor(options: { readonly memoryBytes?: number; readonly ttlMs?: number | undefined } = {}) {
    this.#results = new LRUCache({
      maxSize: options.memoryBytes ?? MEMORY_BYTES,
      ...(options.ttlMs === undefined ? {} : { ttl: options.ttlMs }),
    });
  }

  /** Something in the collection is different from now on: a document, or the vectors of one. */
  changed(tenant: string, collection: string): void {
    const key = versionKey(tenant, collection);
    this.#versions.set(key, (this.#versions.get(key) ?? 0) + 1);
  }

  /** An index elsewhere has come further: nobody here knows in which collections. */
  changedElsewhere(): void {
    this.#elsewhere++;
  }

  /** To be asked before a search: a change during it makes its result worthless. */
  versionOf({ tenant, collections }: RetrievalQuery): string {
    const here = collections.map((each) => this.#versions.get(versionKey(tenant, each)) ?? 0);
    return [this.#elsewhere, ...here].join(",");
  }

  get(query: RetrievalQuery): Passage[] | undefined {
    const key = resultKey(query);
    const hot = this.#results.get(key);
    const current = hot?.version === this.versionOf(query);
    if (hot && !current) this.#results.delete(key);
    metrics.retrievals({ part: "memory", result: current ? "hit" : hot ? "outdated" : "miss" });
    return hot && current ? [...hot.passages] : undefined;
  }

  keep(query: RetrievalQuery, version: string, passages: readonly Passage[]): void {
    const key = resultKey(query);
    const size = passages.reduce(
      (sum, { text }) => sum + 2 * text.length + PASSAGE_BYTES,
      2 * key.length + 200,
    );
    this.#results.set(key, { passages: [...passages], version }, { size });
  }
}

// Ids hold no control characters, so the separators cannot occur in them.
const versionKey = (tenant: string, collection: string): string => `${tenant}\n${collection}`;

/** By a hash: nobody's words stay here when the session that they were said in is erased. */
const resultKey = ({ tenant, collections, question, locale, limit }: RetrievalQuery): string =>
  textHash([tenant, collections.join("\t"), locale ?? "", limit, question.trim()].join("\n"));

/**
 * Retrieval in this process: all documents in memory, fed by a reader of KNOWLEDGE of its own, searched by their words
 * and, where vectors are configured, by their meaning. Vectors only point: text and revision come from the documents
 * here, so an index that is behind can miss something and never bring back old text.
 */
import type { Passage } from "#contracts/job.ts";
import { decodeKnowledgeEvent } from "#contracts/knowledge.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { StoredMessage } from "#runtime/nats/reader.ts";
import type { Log } from "#runtime/observe/log.ts";
import { metrics } from "#runtime/observe/metrics.ts";
import { Presence } from "#runtime/observe/presence.ts";
import { inSlices } from "#runtime/slices.ts";
import { textHash } from "./embeddings/text-hash.ts";
import { HotResults } from "./hot-results.ts";
import { KnowledgeReader, type ReaderOptions } from "./knowledge-reader.ts";
import { loadLanguages } from "./language.ts";
import { asPassage, PassageIndex, type StoredPassage } from "./passage-index.ts";
import type { ProvenRetriever, RetrievalQuery, StoredChange } from "./port.ts";
import { INDEXER_ROLE } from "./readers.ts";
import { fuse } from "./vectors/fusion.ts";
import { embeddedText } from "./vectors/passage-vectors.ts";
import { followVectors, type VectorFollower } from "./vectors/vector-follower.ts";
import type { VectorHit } from "./vectors/vector-index.ts";
import type { VectorSearch } from "./vectors/vector-search.ts";

/** Of an index elsewhere indexers tell how far it is. Told nothing, what was found through it holds for so long at most. */
const ELSEWHERE_MS = 30_000;
/** A large document is taken in for so long at a time. */
const SLICE_MS = 15;
/** Passages of each ranking that are fused. */
const FUSED = 24;

export interface RetrieverOptions extends ReaderOptions {
  /** Absent: words alone. */
  readonly vectors?: VectorSearch | undefined;
}

/** Joins the readers and catches up. @throws JetclawError `nats.unavailable` when that takes too long. */
export async function startRetriever(bus: Bus, options: RetrieverOptions): Promise<LocalRetriever> {
  const retriever = new LocalRetriever(bus, options);
  try {
    await retriever.start();
    return retriever;
  } catch (error) {
    await retriever.stop();
    throw error;
  }
}

export class LocalRetriever implements ProvenRetriever {
  readonly #log: Log;
  readonly #index = new PassageIndex();
  readonly #reader: KnowledgeReader;
  readonly #vectors: VectorSearch | undefined;
  readonly #hot: HotResults;
  readonly #follower: VectorFollower | undefined;
  readonly #indexers: Presence | undefined;
  readonly #hashes = new WeakMap<StoredPassage, string>();
  /** Of the index elsewhere, as last told. */
  #indexed = 0;

  constructor(bus: Bus, options: RetrieverOptions) {
    const { vectors, ...reader } = options;
    const { log } = reader;
    this.#log = log;
    this.#vectors = vectors;
    this.#hot = new HotResults(vectors?.index.kind === "qdrant" ? { ttlMs: ELSEWHERE_MS } : {});
    if (vectors?.index.kind === "qdrant")
      this.#indexers = new Presence(bus, INDEXER_ROLE, ({ info }) => {
        const position = info.space === vectors.space ? this.#toldOf(vectors.space) : undefined;
        if (position === undefined || position === this.#indexed) return;
        this.#indexed = position;
        this.#hot.changedElsewhere();
        this.#reader.moved();
      });
    if (vectors?.index.kind === "embedded")
      this.#follower = followVectors(bus, {
        space: vectors.space,
        index: vectors.index,
        log,
        onRecord: ({ tenant, collection }) => this.#hot.changed(tenant, collection),
        onMoved: () => this.#reader.moved(),
      });
    this.#reader = new KnowledgeReader(bus, {
      ...reader,
      apply: (message) => this.#apply(message),
      onAnew: () => {
        this.#index.clear();
        this.#hot.changedElsewhere();
        this.#follower?.beginAnew();
      },
      ...(vectors ? { vectors: () => ({ space: vectors.space, indexed: this.#searched() }) } : {}),
    });
  }

  start(): Promise<void> {
    loadLanguages();
    return this.#reader.start();
  }

  /** Never throws; of a suspect index the answer is as good as 300 ms allow, and `fresh` says so. */
  async retrieve(query: RetrievalQuery): Promise<Passage[]> {
    await this.#reader.settled();
    if (query.limit <= 0) return [];
    const hot = this.#hot.get(query);
    if (hot) return hot;
    const version = this.#hot.versionOf(query);
    const { passages, whole } = await this.#search(query);
    if (whole) this.#hot.keep(query, version, passages);
    return passages;
  }

  changeOf(tenant: string, collection: string, document: string): StoredChange | undefined {
    return this.#index.changeOf(tenant, collection, document);
  }

  get newestAt(): number {
    return this.#reader.newestAt;
  }

  /** False while changes may have been acknowledged as indexed without this process: nothing cached may be served. */
  fresh(): boolean {
    return this.#reader.fresh();
  }

  settled(): Promise<void> {
    return this.#reader.settled();
  }

  /** Highest sequence of KNOWLEDGE that the index has passed. */
  get position(): number {
    return this.#reader.position;
  }

  /** True where vectors are not searched here, or all that was there at the start is searchable. */
  get vectorsRead(): boolean {
    return this.#follower?.caughtUp ?? true;
  }

  /** Searchable documents of a collection. */
  count(tenant: string, collection: string): number {
    return this.#index.count(tenant, collection);
  }

  /** Leaves the readers. */
  async stop(): Promise<void> {
    this.#indexers?.stop();
    this.#follower?.stop();
    await this.#reader.stop();
    await this.#vectors?.index.close();
  }

  /** By the indexer that is further: all of them look at the same, one of them later. Undefined where there is none. */
  #toldOf(space: string): number | undefined {
    const told = this.#indexers?.live().filter(({ info }) => info.space === space) ?? [];
    return told.length > 0 ? Math.max(...told.map(({ info }) => Number(info.position ?? 0))) : undefined;
  }

  /** Up to which change of KNOWLEDGE vectors are searched, by what is kept in memory too; undefined: nobody has told. */
  #searched(): number | undefined {
    if (!this.#follower) return this.#indexed || undefined;
    const { indexed } = this.#follower;
    return indexed === undefined ? undefined : Math.min(indexed, this.#reader.position);
  }

  /** @returns the passages, and whether everything that was to be asked has answered */
  async #search(query: RetrievalQuery): Promise<{ passages: Passage[]; whole: boolean }> {
    const asking = this.#vectors?.ask(query);
    // Where rankings are fused, what one puts third the other may put first.
    const limit = asking ? Math.max(query.limit, FUSED) : query.limit;
    let whole = true;
    for (const languages of this.#index.languagesFor(query)) {
      const words = this.#index.find(query, languages, limit);
      metrics.retrievals({ part: "words", result: words.length > 0 ? "found" : "nothing" });
      const hits = asking ? await asking.find(languages) : [];
      whole &&= hits !== undefined;
      const meaning = (hits ?? []).flatMap((hit) => this.#passageOf(query, hit) ?? []);
      const ranked =
        meaning.length === 0
          ? words
          : fuse([words.map(({ passage }) => passage), meaning]).map(({ of, score }) => ({
              passage: of,
              score,
            }));
      if (ranked.length > 0) {
        const near = new Set(meaning);
        const passages = ranked
          .slice(0, query.limit)
          .map((each) => ({ ...asPassage(each), ...(near.has(each.passage) ? { near: true } : {}) }));
        return { passages, whole };
      }
    }
    return { passages: [], whole };
  }

  /**
   * Of the documents here: a hit at what has changed since, or was cut otherwise by older code, points nowhere, and so does one
   * that nobody asked for.
   */
  #passageOf({ tenant, collections }: RetrievalQuery, hit: VectorHit): StoredPassage | undefined {
    if (!collections.includes(hit.collection)) return undefined;
    const passage = this.#index.passageAt({ tenant, ...hit });
    return passage && this.#hashOf(passage) === hit.hash ? passage : undefined;
  }

  /** The same passages are hit again and again: hashing them was 2 % of a busy host's CPU. */
  #hashOf(passage: StoredPassage): string {
    const hash = this.#hashes.get(passage) ?? textHash(embeddedText(passage.title, passage));
    this.#hashes.set(passage, hash);
    return hash;
  }

  /** At once for all but large documents; those give everybody else a turn between. */
  #apply({ data, seq, at }: StoredMessage): void | Promise<void> {
    const event = decodeKnowledgeEvent(data);
    if (!event) return this.#log.warn({ seq }, "not a knowledge event, skipped");
    this.#follower?.expect(event, seq);
    const done = (): void => this.#hot.changed(event.tenant, event.collection);
    const slices = inSlices(this.#index.applying(event, seq, at), SLICE_MS);
    return slices ? slices.finally(done) : done();
  }
}

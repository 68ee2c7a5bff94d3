/**
 * `jetclaw bench vectors`: many documents stored, indexed by words and by meaning, searched, changed and indexed anew, in
 * one process; and what a question costs while embeddings do not answer. The model is no model: texts get vectors around
 * the directions of topics (of a real model's recorded vectors where a file is given), so that its speed measures ours.
 */
import { join } from "node:path";
import { decodeHalf } from "#actors/knowledge/embeddings/float16.ts";
import { questionVectors } from "#actors/knowledge/embeddings/questions.ts";
import { dot, unitLength } from "#actors/knowledge/embeddings/unit-length.ts";
import type { Embedder } from "#actors/knowledge/port.ts";
import { type LocalRetriever, startRetriever } from "#actors/knowledge/retriever.ts";
import { createKnowledgeStore, type RunningStore } from "#actors/knowledge/store.ts";
import { EmbeddedIndex } from "#actors/knowledge/vectors/embedded-index.ts";
import { graphFactory } from "#actors/knowledge/vectors/graph.ts";
import { type Indexer, startIndexer } from "#actors/knowledge/vectors/indexer.ts";
import { reindex } from "#actors/knowledge/vectors/reindex.ts";
import { Thresholds } from "#actors/knowledge/vectors/thresholds.ts";
import { decodeRecord } from "#actors/knowledge/vectors/vector-record.ts";
import { VectorSearch } from "#actors/knowledge/vectors/vector-search.ts";
import { fnv1a } from "#contracts/ids.ts";
import { VECTORS, vectorsFilter } from "#contracts/subjects.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messagesFrom, streamState } from "#runtime/nats/reader.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Cleanup } from "./cleanup.ts";
import { type BenchResult, describeMachine, fsyncP50Ms, quantile, randomFrom, round } from "./shape.ts";

export interface VectorsOptions {
  readonly documents: number;
  readonly questions: number;
  /** Changes that are waited for, one after the other. */
  readonly changes: number;
  readonly seed: number;
  readonly natsBin: string;
  readonly natsServer: string;
  readonly folder: string;
  /** Half-precision rows of 384 numbers, such as a recorded model's. */
  readonly vectors?: Uint8Array | undefined;
  readonly say: (line: string) => void;
}

const DIMENSIONS = 384;
const TOPICS = 2_000;
const NEAREST = 10;
const PUTS = 64;
const WORDS_OF_TEXT = 60;
const VOCABULARY = 20_000;
const SPACE = "bench";
const COLLECTION = "docs";
const SCOPE = { tenant: "bench", collections: [COLLECTION] };
/** Questions asked of embeddings that do not answer. */
const SILENT = 100;
const INDEX_MS = 1_800_000;
/** Documents read at once, so few that whatever else this process does has its turn. */
const PAGE = 64;
/** Documents between two lines of progress. */
const TOLD = 5_000;
const TELL_MS = 10_000;
const log = createLog({ level: "error" });

/** Vectors around topics: two texts of a topic are near, as two about the same thing are. Can be told to fall silent. */
class TopicEmbedder implements Embedder {
  readonly model = SPACE;
  readonly dimensions = DIMENSIONS;
  silent = false;
  readonly #topics: Float32Array[];

  constructor(seed: number, recorded: Uint8Array | undefined) {
    const random = randomFrom(seed);
    const rows = recorded ? Math.floor(recorded.length / 2 / DIMENSIONS) : 0;
    this.#topics = Array.from({ length: TOPICS }, () =>
      recorded
        ? decodeHalf(recorded, Math.floor(random() * rows) * DIMENSIONS * 2, DIMENSIONS)
        : Float32Array.from({ length: DIMENSIONS }, () => random() - 0.5),
    ).map((vector) => unitLength(vector) ?? vector);
  }

  async embed(
    texts: readonly string[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    if (this.silent)
      await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    return texts.map((text) => {
      const random = randomFrom(fnv1a(text));
      const topic = this.#topics[Math.floor(random() * TOPICS)] as Float32Array;
      const noise = 0.05 + 0.05 * random();
      return unitLength(topic.map((x) => x + noise * (random() - 0.5) * 1.7)) ?? topic;
    });
  }
}

export async function benchVectors(options: VectorsOptions): Promise<BenchResult> {
  const { seed, folder, natsBin: bin } = options;
  const dataDir = join(folder, "nats");
  const cleanup = new Cleanup();
  try {
    const server = await startNatsServer({ bin, dataDir, port: 0, syncInterval: "1s", log: () => {} });
    cleanup.add(() => server.stop());
    const bus = await connectBus({ servers: server.url, name: "bench-vectors", log });
    cleanup.add(() => bus.close());
    const world = new World(bus, options);
    cleanup.add(() => world.stop());
    await provision(bus, { shards: 1, pools: [] });
    await world.start();
    const figures = {
      ...(await world.fill()),
      ...(await world.searchVectors()),
      ...(await world.retrieve()),
      ...(await world.change()),
      ...(await world.askInSilence()),
      ...(await world.indexAnew()),
    };
    return {
      bench: "vectors",
      seed,
      machine: describeMachine(options.natsServer),
      config: {
        documents: options.documents,
        wordsOfText: WORDS_OF_TEXT,
        dimensions: DIMENSIONS,
        vectors: options.vectors ? "around recorded vectors" : "around random topics",
        questions: options.questions,
        changes: options.changes,
        fsyncP50Ms: fsyncP50Ms(folder),
      },
      figures,
      units: Object.fromEntries(Object.keys(figures).map((name) => [name, unitOf(name)])),
      baselines: {},
    };
  } finally {
    await cleanup.run();
  }
}

function unitOf(figure: string): string {
  if (figure.endsWith("Ms")) return "ms";
  if (figure.endsWith("Mb")) return "MB";
  return figure.endsWith("Seconds") ? "s" : "share";
}

const seconds = (ms: number): number => round(ms / 1_000, 1);
const megabytes = (bytes: number): number => round(bytes / 2 ** 20, 0);

/** A store, an indexer and a retrieving process in one. */
class World {
  readonly #bus: Bus;
  readonly #options: VectorsOptions;
  readonly #embedder: TopicEmbedder;
  readonly #textOf: (n: number, version: number) => string;
  #parts:
    | { store: RunningStore; retriever: LocalRetriever; indexer: Indexer; index: EmbeddedIndex }
    | undefined;

  constructor(bus: Bus, options: VectorsOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#embedder = new TopicEmbedder(options.seed, options.vectors);
    this.#textOf = textMaker(options.seed);
  }

  async start(): Promise<void> {
    const [bus, embedder] = [this.#bus, this.#embedder];
    const index = new EmbeddedIndex({ dimensions: DIMENSIONS, makeGraph: await graphFactory() });
    const vectors = new VectorSearch({
      space: SPACE,
      index,
      questions: questionVectors(embedder),
      thresholds: new Thresholds(bus, { space: SPACE, given: { en: 0.5 }, log }),
      log,
    });
    const store = createKnowledgeStore(bus);
    const retriever = await startRetriever(bus, { instance: "bench", log, vectors });
    const indexer = await startIndexer(bus, { instance: "bench", log, embedder, space: SPACE });
    this.#parts = { store, retriever, indexer, index };
  }

  async stop(): Promise<void> {
    await this.#parts?.indexer.stop();
    await this.#parts?.retriever.stop();
    this.#parts?.store.stop();
  }

  async fill(): Promise<Record<string, number>> {
    const { documents, say } = this.#options;
    const { store, indexer } = this.#started;
    const before = process.memoryUsage().rss;
    const began = performance.now();
    let last = 0;
    let next = 0;
    const fill = async (): Promise<void> => {
      for (let n = next++; n < documents; n = next++) {
        last = Math.max(last, await this.#put(n, 0));
        if (n % TOLD === 0) say(`${n} documents stored, ${indexer.position} indexed`);
      }
    };
    await Promise.all(Array.from({ length: PUTS }, fill));
    const stored = performance.now() - began;
    const telling = setInterval(() => say(`${indexer.position} indexed`), TELL_MS);
    const isIndexed = await store.waitIndexed(last, INDEX_MS);
    clearInterval(telling);
    if (!isIndexed) throw new Error("the documents were not indexed");
    const searchable = performance.now() - began;
    const { rss } = process.memoryUsage();
    say(`${documents} documents are searchable after ${seconds(searchable)} s`);
    return {
      storedSeconds: seconds(stored),
      searchableSeconds: seconds(searchable),
      rssMb: megabytes(rss),
      rssGrowthMb: megabytes(rss - before),
      vectorsStreamMb: megabytes((await streamState(this.#bus, VECTORS)).bytes),
    };
  }

  /** The graph beside comparing with everything. */
  async searchVectors(): Promise<Record<string, number>> {
    const { questions, seed, say } = this.#options;
    const asked = Array.from({ length: questions }, (_, n) => `question ${seed} ${n}`);
    const vectors = await this.#embedder.embed(asked);
    const took: number[] = [];
    const found: Set<string>[] = [];
    for (const vector of vectors) {
      const from = performance.now();
      const hits = await this.#started.index.search({ ...SCOPE, languages: ["en"], vector, limit: NEAREST });
      took.push(performance.now() - from);
      found.push(new Set(hits.map((hit) => `${hit.document}#${hit.passage}`)));
    }
    const exact = await exactNearest(this.#bus, vectors, say);
    const right = exact.map((ids, n) => ids.filter((id) => found[n]?.has(id)).length);
    const recall = right.reduce((sum, each) => sum + each, 0) / exact.flat().length;
    say(`recall@${NEAREST} ${recall.toFixed(4)}`);
    return { recallAt10: round(recall, 4), ...spread("vectorSearch", took) };
  }

  async retrieve(): Promise<Record<string, number>> {
    const took: number[] = [];
    for (let n = 0; n < this.#options.questions; n++) took.push(await this.#ask(this.#questionOf(n)));
    return spread("retrieve", took);
  }

  async change(): Promise<Record<string, number>> {
    const took: number[] = [];
    for (let n = 0; n < this.#options.changes; n++) {
      const from = performance.now();
      await this.#started.store.waitIndexed(await this.#put(n, 1), 10_000);
      took.push(performance.now() - from);
    }
    this.#options.say(`fan-out p99 ${quantile(took, 0.99).toFixed(1)} ms`);
    return spread("fanOut", took);
  }

  /** The same questions with embeddings that take requests and never answer. */
  async askInSilence(): Promise<Record<string, number>> {
    this.#embedder.silent = true;
    const took: number[] = [];
    for (let n = 0; n < SILENT; n++) took.push(await this.#ask(`${this.#questionOf(n)} now`));
    this.#embedder.silent = false;
    return spread("embeddingsSilent", took);
  }

  async indexAnew(): Promise<Record<string, number>> {
    const began = performance.now();
    let told = 0;
    const done = await reindex(this.#bus, {
      space: SPACE,
      embedder: this.#embedder,
      embedAll: true,
      onProgress: ({ documents, total }) => {
        if (documents < told + TOLD) return;
        told = documents;
        this.#options.say(`${documents} of ${total} documents indexed anew`);
      },
    });
    const took = performance.now() - began;
    this.#options.say(`${done.documents} documents indexed anew in ${seconds(took)} s`);
    return { reindexSeconds: seconds(took) };
  }

  get #started() {
    if (!this.#parts) throw new Error("not started");
    return this.#parts;
  }

  async #put(n: number, version: number): Promise<number> {
    const document = { title: `Document ${n}`, text: this.#textOf(n, version), locale: "en" };
    return (await this.#started.store.put(SCOPE.tenant, COLLECTION, `d${n}`, document)).revision;
  }

  #questionOf(n: number): string {
    return this.#textOf(n, 7).split(" ").slice(0, 8).join(" ");
  }

  async #ask(question: string): Promise<number> {
    const from = performance.now();
    await this.#started.retriever.retrieve({ ...SCOPE, question, locale: "en", limit: 6 });
    return performance.now() - from;
  }
}

function spread(name: string, took: readonly number[]): Record<string, number> {
  return { [`${name}P50Ms`]: round(quantile(took, 0.5)), [`${name}P99Ms`]: round(quantile(took, 0.99)) };
}

/** The nearest passages of each question by comparing with every vector that is stored. */
async function exactNearest(
  bus: Bus,
  questions: readonly Float32Array[],
  say: (line: string) => void,
): Promise<string[][]> {
  const best: { id: string; score: number }[][] = questions.map(() => []);
  let compared = 0;
  for (let seq = 1; ; ) {
    const page = await messagesFrom(bus, VECTORS, vectorsFilter(SPACE), seq, PAGE);
    compared += page.length;
    if (compared % (80 * PAGE) === 0) say(`compared with ${compared} documents`);
    for (const { data } of page) {
      const record = decodeRecord(data);
      for (const [passage, vector] of (record?.vectors ?? []).entries())
        for (const [n, question] of questions.entries()) {
          const top = best[n] as { id: string; score: number }[];
          const score = dot(question, vector);
          if (top.length === NEAREST && score <= (top.at(-1)?.score ?? 0)) continue;
          top.push({ id: `${record?.document}#${passage}`, score });
          top.sort((a, b) => b.score - a.score);
          if (top.length > NEAREST) top.pop();
        }
    }
    const last = page.at(-1);
    if (last === undefined) return best.map((top) => top.map(({ id }) => id));
    seq = last.seq + 1;
  }
}

/** Texts whose words are as unevenly frequent as a language's (Zipf). */
function textMaker(seed: number): (n: number, version: number) => string {
  return (n, version) => {
    const random = randomFrom(fnv1a(`${seed} ${n} ${version}`));
    return Array.from({ length: WORDS_OF_TEXT }, () => `w${Math.floor(VOCABULARY ** random())}`).join(" ");
  };
}

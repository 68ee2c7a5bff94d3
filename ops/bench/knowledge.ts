/**
 * `jetclaw bench knowledge`: so many documents stored, followed into an index, asked, changed and indexed anew, in one
 * process beside a nats-server of its own.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type LocalRetriever, startRetriever } from "#actors/knowledge/retriever.ts";
import { createKnowledgeStore, type RunningStore } from "#actors/knowledge/store.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { startNatsServer } from "#runtime/nats/server.ts";
import { provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { startCleanly } from "./cleanup.ts";
import { Corpus } from "./corpus.ts";
import type { LoadBench } from "./deployed.ts";
import { type BenchResult, describeMachine, fsyncP50Ms, quantile, round } from "./shape.ts";

export interface KnowledgeBench extends Omit<LoadBench, "seconds"> {
  readonly documents: number;
  readonly questions: number;
  readonly inFlight: number;
}

const TENANT = "bench";
const COLLECTION = "bench";
/** Of the documents that are changed for the figure of re-indexing. */
const CHANGED_SHARE = 0.1;
const WAIT_MS = 600_000;
/** Questions that are asked before the clock runs. */
const WARM_UP = 200;

export async function benchKnowledge(options: KnowledgeBench): Promise<BenchResult> {
  const fsync = fsyncP50Ms(options.folder);
  const figures = await startCleanly(async (cleanup) => {
    const dataDir = join(options.folder, "knowledge");
    cleanup.add(() => rm(dataDir, { recursive: true, force: true }));
    const server = await startNatsServer({
      bin: options.natsBin,
      dataDir,
      port: 0,
      syncInterval: "1s",
      log: () => {},
    });
    cleanup.add(() => server.stop());
    const bus = await connectBus({ servers: server.url, name: "bench", log: createLog({ level: "error" }) });
    cleanup.add(() => bus.close());
    await provision(bus, { shards: 1, pools: [] });
    const store = createKnowledgeStore(bus);
    cleanup.add(async () => store.stop());
    const figures = await new Run(options, bus, store).measure();
    await cleanup.run();
    return figures;
  });
  return {
    bench: "knowledge",
    seed: options.seed,
    machine: describeMachine(options.natsServer),
    config: {
      documents: options.documents,
      questions: options.questions,
      inFlight: options.inFlight,
      changedShare: CHANGED_SHARE,
      vectors: "none",
      sync: "1s",
      fsyncP50Ms: fsync,
      processes: { storeAndIndex: 1, natsServer: 1 },
    },
    figures,
    units: Object.fromEntries(Object.keys(figures).map((name) => [name, unitOf(name)])),
    baselines: {},
  };
}

class Run {
  readonly #options: KnowledgeBench;
  readonly #bus: Bus;
  readonly #store: RunningStore;
  readonly #corpus: Corpus;

  constructor(options: KnowledgeBench, bus: Bus, store: RunningStore) {
    this.#options = options;
    this.#bus = bus;
    this.#store = store;
    this.#corpus = new Corpus(options.seed);
  }

  async measure(): Promise<Record<string, number>> {
    const { documents, say } = this.#options;
    const imported = await this.#put(documents, 0);
    say(`${documents} documents stored in ${imported.seconds.toFixed(1)} s`);
    const before = memory();
    const indexed = await this.#index();
    const after = memory();
    say(`indexed in ${indexed.seconds.toFixed(1)} s`);
    const asked = await this.#ask(indexed.retriever);
    say(`asked, p99 ${asked.questionP99Ms} ms`);
    const changed = await this.#put(Math.round(documents * CHANGED_SHARE), 1);
    const listing = await this.#list();
    await indexed.retriever.stop();
    return {
      storeSeconds: round(imported.seconds, 1),
      storedPerSecond: Math.round(documents / imported.seconds),
      indexSeconds: round(indexed.seconds, 1),
      indexedPerSecond: Math.round(documents / indexed.seconds),
      longestBlockMs: round(indexed.longestBlockMs, 1),
      indexMb: round(after - before, 1),
      textMb: round(imported.bytes / 1e6, 1),
      ...asked,
      changeSeconds: round(changed.seconds, 1),
      listSeconds: round(listing, 1),
    };
  }

  /** Stores the documents and waits until every index has them. */
  async #put(count: number, version: number): Promise<{ seconds: number; bytes: number }> {
    const from = performance.now();
    let [next, bytes, revision] = [0, 0, 0];
    const work = async (): Promise<void> => {
      for (let n = next++; n < count; n = next++) {
        const { document, input } = this.#corpus.document(n, version);
        bytes += input.text.length;
        revision = Math.max(revision, (await this.#store.put(TENANT, COLLECTION, document, input)).revision);
      }
    };
    await Promise.all(Array.from({ length: this.#options.inFlight }, work));
    if (version > 0) await this.#store.waitIndexed(revision, WAIT_MS);
    return { seconds: (performance.now() - from) / 1_000, bytes };
  }

  /** A process that starts: from an empty index to one that has passed everything. */
  async #index(): Promise<{ retriever: LocalRetriever; seconds: number; longestBlockMs: number }> {
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const from = performance.now();
    const retriever = await startRetriever(this.#bus, {
      instance: "bench",
      log: createLog({ level: "error" }),
    });
    const seconds = (performance.now() - from) / 1_000;
    delay.disable();
    return { retriever, seconds, longestBlockMs: delay.max / 1e6 };
  }

  async #ask(retriever: LocalRetriever): Promise<Record<string, number>> {
    const { questions, documents } = this.#options;
    const times: number[] = [];
    const count = { first: 0, top3: 0, nothing: 0 };
    for (let n = -WARM_UP; n < questions; n++) {
      const { text, document } = this.#corpus.question(n + WARM_UP, documents);
      const from = performance.now();
      const found = await retriever.retrieve({
        tenant: TENANT,
        collections: [COLLECTION],
        question: text,
        locale: "en",
        limit: 6,
      });
      if (n < 0) continue;
      times.push(performance.now() - from);
      const ranking = [...new Set(found.map((passage) => passage.document))];
      if (ranking[0] === document) count.first++;
      if (ranking.slice(0, 3).includes(document)) count.top3++;
      if (found.length === 0) count.nothing++;
    }
    return {
      questionP50Ms: round(quantile(times, 0.5)),
      questionP99Ms: round(quantile(times, 0.99)),
      questionMostMs: round(quantile(times, 1)),
      questionFirst: round(count.first / questions),
      questionTop3: round(count.top3 / questions),
      questionNothing: round(count.nothing / questions),
    };
  }

  async #list(): Promise<number> {
    const from = performance.now();
    for (let after: number | undefined = 0; after !== undefined; )
      after = (await this.#store.list(TENANT, COLLECTION, { after })).next;
    return (performance.now() - from) / 1_000;
  }
}

/** Heap and arrays outside of it, after a collection where the process allows one, in MB. */
function memory(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1e6;
}

function unitOf(name: string): string {
  if (name.endsWith("Ms")) return "ms";
  if (name.endsWith("Mb")) return "MB";
  if (name.endsWith("PerSecond")) return "documents/s";
  return name.endsWith("Seconds") ? "s" : "share";
}

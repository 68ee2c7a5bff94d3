/** Embeddings and the vector index as the configuration names them, made from the parts of actors/knowledge. */
import { RememberingEmbedder } from "#actors/knowledge/embeddings/memory.ts";
import type { EmbeddingsClient } from "#actors/knowledge/embeddings/openai.ts";
import { questionVectors } from "#actors/knowledge/embeddings/questions.ts";
import type { Embedder, QuestionVectors } from "#actors/knowledge/port.ts";
import { EmbeddedIndex } from "#actors/knowledge/vectors/embedded-index.ts";
import { graphFactory } from "#actors/knowledge/vectors/graph.ts";
import { QdrantRequests } from "#actors/knowledge/vectors/qdrant-client.ts";
import { QdrantCollections } from "#actors/knowledge/vectors/qdrant-collections.ts";
import { QdrantIndex, type QdrantIndexOptions } from "#actors/knowledge/vectors/qdrant-index.ts";
import type { Replacement } from "#actors/knowledge/vectors/reindex.ts";
import { Thresholds } from "#actors/knowledge/vectors/thresholds.ts";
import { VectorSearch } from "#actors/knowledge/vectors/vector-search.ts";
import type { Config, EmbeddingsConfig } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Log } from "#runtime/observe/log.ts";
import { gauge } from "#runtime/observe/metrics.ts";
import { apiKeyOf } from "../config/embeddings.ts";
import type { RoleContext } from "./context.ts";

/** Requests of a bulk import hold a slow model so long; its questions wait 200 ms. */
const DOCUMENT_MS = 60_000;
const QDRANT_MS = 30_000;

/** Names what may be compared: the same model asked for fewer numbers makes other vectors. */
export const spaceOf = ({ model, dimensions }: EmbeddingsConfig): string =>
  dimensions === undefined ? model : `${model}:${dimensions}`;

async function clientOf(
  config: EmbeddingsConfig,
  purpose: "question" | "document",
): Promise<EmbeddingsClient> {
  const { baseUrl, model, dimensions, batchTexts, timeoutMs = DOCUMENT_MS } = config;
  const { openaiEmbeddings } = await import("#actors/knowledge/embeddings/openai.ts");
  return openaiEmbeddings({
    baseUrl,
    model,
    dimensions,
    batchTexts,
    purpose,
    apiKey: await apiKeyOf(config, "embeddings.apiKey"),
    ...(purpose === "document" ? { timeoutMs } : { retries: 0 }),
  });
}

/** For documents: patient, remembers texts. */
export async function documentEmbedder(
  config: EmbeddingsConfig,
): Promise<{ embedder: Embedder; client: EmbeddingsClient }> {
  const client = await clientOf(config, "document");
  return { client, embedder: new RememberingEmbedder(client) };
}

export async function qdrantOptions(config: Config): Promise<QdrantIndexOptions | undefined> {
  const { embeddings, qdrant } = config;
  if (!embeddings || !qdrant) return undefined;
  const { url, prefix, timeoutMs } = qdrant;
  return {
    url,
    prefix,
    timeoutMs,
    apiKey: await apiKeyOf(qdrant, "qdrant.apiKey"),
    model: spaceOf(embeddings),
    dimensions: embeddings.dimensions,
  };
}

/** The next collection of Qdrant, to be filled beside the one in use; undefined where vectors are in memory. */
export async function replacementOf(config: Config, dimensions: number): Promise<Replacement | undefined> {
  const options = await qdrantOptions(config);
  if (!options) return undefined;
  const requests = new QdrantRequests({ ...options, timeoutMs: QDRANT_MS, retries: 3 });
  const collections = new QdrantCollections(requests, options);
  const [numbers, behind] = await Promise.all([
    collections.numbers(dimensions),
    collections.behind(dimensions),
  ]);
  // What a run that was broken off left behind is filled by nobody.
  for (const n of numbers) if (n !== behind) await collections.drop(dimensions, n);
  const generation = Math.max(0, ...numbers) + 1;
  return {
    index: new QdrantIndex({
      ...options,
      dimensions,
      generation,
      onRemade: () => {
        // What was in it is missing: to take over with the rest would lose that.
        throw new JetclawError(
          "vectors.unavailable",
          "the collection that was being filled is gone: run it again",
        );
      },
    }),
    takeOver: () => collections.switchTo(dimensions, generation),
    async dropPrevious() {
      if (behind !== undefined) await collections.drop(dimensions, behind);
      // Where the model gave vectors of another length before, under its name.
      await collections.dropAll(dimensions);
    },
  };
}

/** What a process that answers questions has of vectors. */
export interface Vectors {
  readonly questions: QuestionVectors;
  readonly search: VectorSearch;
  stop(): Promise<void>;
}

/** Vectors of questions alone, for a process whose retrieval is elsewhere; undefined without embeddings. */
export async function composeQuestions(
  config: Config,
): Promise<{ questions: QuestionVectors; stop(): Promise<void> } | undefined> {
  if (!config.embeddings) return undefined;
  const client = await clientOf(config.embeddings, "question");
  const unwatch = watchBreakers(() => ({ questions: client.breaker }));
  return {
    questions: questionVectors(client),
    async stop() {
      unwatch();
      await client.close();
    },
  };
}

/** Undefined without embeddings: words are searched alone then. */
export async function composeVectors({ bus, config, log }: RoleContext): Promise<Vectors | undefined> {
  const { embeddings } = config;
  if (!embeddings) return undefined;
  const client = await clientOf(embeddings, "question");
  const options = await qdrantOptions(config);
  const index = options ? new QdrantIndex(options) : await embeddedIndex(embeddings, log);
  const questions = questionVectors(client);
  const space = spaceOf(embeddings);
  const thresholds = new Thresholds(bus, { space, given: embeddings.thresholds, log });
  const unwatch = watchBreakers(() => ({
    questions: client.breaker,
    ...(index instanceof QdrantIndex ? { qdrant: index.breaker } : {}),
  }));
  return {
    questions,
    search: new VectorSearch({ space, index, questions, thresholds, log }),
    async stop() {
      unwatch();
      await client.close();
    },
  };
}

async function embeddedIndex({ dimensions }: EmbeddingsConfig, log: Log): Promise<EmbeddedIndex> {
  const makeGraph = await graphFactory().catch((err) => {
    log.warn({ err }, "no build of usearch for this machine, vectors are compared one by one");
    return undefined;
  });
  return new EmbeddedIndex({ dimensions, makeGraph });
}

const STATES = { closed: 0, "half-open": 1, open: 2 } as const;

/** @returns what ends it */
export function watchBreakers(read: () => Record<string, keyof typeof STATES>): () => void {
  return gauge("retrieval_breakers", "breakers of embeddings and Qdrant: 0 closed, 1 half-open, 2 open", () =>
    Object.entries(read()).map(([service, state]) => ({ value: STATES[state], labels: { service } })),
  );
}

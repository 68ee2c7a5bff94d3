/** Role `indexer`: makes the vectors of documents when knowledge changes. Without embeddings it has nothing to do. */

import { isFormer } from "#actors/knowledge/vectors/former.ts";
import { type Indexer, startIndexer } from "#actors/knowledge/vectors/indexer.ts";
import { QdrantIndex } from "#actors/knowledge/vectors/qdrant-index.ts";
import type { RoleContext, RunningRole } from "./context.ts";
import { documentEmbedder, qdrantOptions, spaceOf, watchBreakers } from "./vectors.ts";

/** @throws JetclawError `nats.unavailable`, `config.invalid` */
export async function startIndexerRole(ctx: RoleContext): Promise<RunningRole> {
  const { bus, config, log, instance } = ctx;
  const { embeddings } = config;
  if (!embeddings) return idle();
  const { embedder, client } = await documentEmbedder(embeddings);
  const options = await qdrantOptions(config);
  const index =
    options &&
    new QdrantIndex({
      ...options,
      oneLength: true,
      onRemade: () => void indexer.refill(),
      isFormer: (there) => isFormer(bus, there),
    });
  const indexer: Indexer = await startIndexer(bus, {
    instance,
    log,
    embedder,
    index,
    space: spaceOf(embeddings),
    batchTexts: embeddings.batchTexts,
  });
  const unwatch = watchBreakers(() => ({
    documents: client.breaker,
    ...(index ? { "qdrant-writes": index.breaker } : {}),
  }));
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= indexer.stop().then(async () => {
      unwatch();
      await client.close();
    });
    return stopping;
  };
  return {
    role: "indexer",
    // Failing embeddings are told by metrics and doctor: documents are found by their words, so work goes on.
    readiness: () => (stopping ? "draining" : undefined),
    drain: stop,
    stop,
  };
}

function idle(): RunningRole {
  return { role: "indexer", readiness: () => undefined, drain: async () => {}, stop: async () => {} };
}

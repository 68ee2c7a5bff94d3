/** All documents indexed anew, with the embeddings and the index that the configuration names. */
import { type Reindexed, reindex } from "#actors/knowledge/vectors/reindex.ts";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { documentEmbedder, replacementOf, spaceOf } from "./vectors.ts";

/** @throws JetclawError as `reindex`, and `config.invalid` */
export async function reindexDocuments(
  bus: Bus,
  config: Config,
  options: {
    readonly embedAll?: boolean | undefined;
    readonly force?: boolean | undefined;
    readonly onProgress?: (done: Reindexed) => void;
  },
): Promise<Reindexed> {
  const { embeddings } = config;
  if (!embeddings) throw new JetclawError("config.invalid", "embeddings: nothing is configured");
  const { embedder, client } = await documentEmbedder(embeddings);
  try {
    // Says at once where nothing answers, and how long its vectors are.
    const [probe] = await embedder.embed(["shop"]);
    const replacement = await replacementOf(config, probe?.length ?? 0);
    return await reindex(bus, {
      ...options,
      space: spaceOf(embeddings),
      embedder,
      replacement,
      batchTexts: embeddings.batchTexts,
    });
  } finally {
    await client.close();
  }
}

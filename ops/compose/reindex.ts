/** All documents indexed anew, with the embeddings and the index that the configuration names. */
import { hostname } from "node:os";
import { type AloneOptions, alone } from "#actors/knowledge/vectors/alone.ts";
import { type Reindexed, reindex } from "#actors/knowledge/vectors/reindex.ts";
import type { Config } from "#contracts/config.ts";
import { JetclawError } from "#contracts/errors.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { documentEmbedder, replacementOf, spaceOf } from "./vectors.ts";

/** @throws JetclawError as `reindex`, `vectors.busy`, and `config.invalid` */
export async function reindexDocuments(
  bus: Bus,
  config: Config,
  options: {
    readonly embedAll?: boolean | undefined;
    readonly force?: boolean | undefined;
    readonly onProgress?: (done: Reindexed) => void;
    /** Ends the run before its next step; it throws the reason, and the next run need not wait for this one. */
    readonly signal?: AbortSignal;
  } & Pick<AloneOptions, "leaseMs" | "onWaiting"> = {},
): Promise<Reindexed> {
  const { embeddings } = config;
  if (!embeddings) throw new JetclawError("config.invalid", "embeddings: nothing is configured");
  const { embedder, client } = await documentEmbedder(embeddings);
  try {
    // Says at once where nothing answers, and how long its vectors are.
    const [probe] = await embedder.embed(["shop"]);
    const space = spaceOf(embeddings);
    const { leaseMs, onWaiting, signal } = options;
    return await alone(bus, { space, owner: runner(), leaseMs, onWaiting }, async (stillAlone) =>
      reindex(bus, {
        ...options,
        space,
        embedder,
        replacement: await replacementOf(config, probe?.length ?? 0),
        batchTexts: embeddings.batchTexts,
        async stillAlone() {
          signal?.throwIfAborted();
          await stillAlone();
        },
      }),
    );
  } finally {
    await client.close();
  }
}

let runs = 0;
/** Who runs it, as whoever is kept from it would ask. */
const runner = (): string => `${hostname()}, process ${process.pid}${runs++ > 0 ? `, run ${runs}` : ""}`;

/** Which models' vectors a deployment holds, and the end of those that nobody uses, in JetStream and in Qdrant. */
import { QdrantRequests } from "#actors/knowledge/vectors/qdrant-client.ts";
import { QdrantCollections } from "#actors/knowledge/vectors/qdrant-collections.ts";
import { removeSpace, type VectorSpace, vectorSpaces } from "#actors/knowledge/vectors/spaces.ts";
import type { Config } from "#contracts/config.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import type { Presence } from "#runtime/observe/presence.ts";
import { qdrantOptions, spaceOf } from "./vectors.ts";

const QDRANT_MS = 30_000;

export interface KnownSpace extends VectorSpace {
  /** The configuration at hand names it. */
  readonly configured: boolean;
}

/** `presence` has to have heard every process. @throws JetclawError `nats.unavailable` */
export async function knownSpaces(bus: Bus, presence: Presence, config: Config): Promise<KnownSpace[]> {
  const configured = config.embeddings && spaceOf(config.embeddings);
  const spaces = await vectorSpaces(bus, presence);
  return spaces.map((each) => ({ ...each, configured: each.space === configured }));
}

export const isUnused = ({ configured, users }: KnownSpace): boolean => !configured && users === 0;

/** @returns records and collections that went @throws JetclawError `nats.unavailable`, `vectors.unavailable` */
export async function removeVectors(
  bus: Bus,
  config: Config,
  space: string,
): Promise<{ readonly records: number; readonly collections: number }> {
  const qdrant = await qdrantOptions(config);
  const collections = qdrant
    ? await new QdrantCollections(new QdrantRequests({ ...qdrant, timeoutMs: QDRANT_MS, retries: 3 }), {
        prefix: qdrant.prefix,
        model: space,
      }).dropAll()
    : 0;
  return { records: await removeSpace(bus, space), collections };
}

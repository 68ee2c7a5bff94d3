// What tests of vectors share: a server, a model that embeds, and processes in all but the process, composed as deployed.

import { configSchema } from "#contracts/config.ts";
import type { Passage } from "#contracts/job.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startIndexerRole } from "#ops/compose/indexer.ts";
import type { Retrieval } from "#ops/compose/retrieval.ts";
import { startRetrieval } from "#ops/compose/retrieval.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { stretchPatience } from "#runtime/within.ts";
import { type EmbeddingModel, embeddingModel } from "./embedding-model.ts";
import { silentLog } from "./knowledge.ts";
import { startTestNats, type TestNats } from "./nats.ts";
import type { TestQdrant } from "./qdrant.ts";
import { PATIENCE_MS, SLOW_MACHINE } from "./wait.ts";

export class VectorWorld {
  readonly server: TestNats;
  readonly model: EmbeddingModel;
  /** Run in reverse at the end. */
  readonly cleanups: (() => Promise<unknown> | undefined)[] = [];
  #deployment: Deployment = { shards: 1, replicas: 1 };

  private constructor(server: TestNats, model: EmbeddingModel) {
    this.server = server;
    this.model = model;
    this.cleanups.push(() => Promise.all([server.stop(), model.stop()]));
  }

  static async start(): Promise<VectorWorld> {
    stretchPatience(SLOW_MACHINE);
    const world = new VectorWorld(...(await Promise.all([startTestNats(), embeddingModel()])));
    world.#deployment = await provision(await world.connect("provision"), { shards: 1, pools: [] });
    return world;
  }

  async stop(): Promise<void> {
    for (const clean of this.cleanups.splice(0).reverse()) await clean();
  }

  async connect(name: string): Promise<Bus> {
    const bus = await connectBus({ servers: this.server.url, name, log: silentLog });
    this.cleanups.push(() => bus.close());
    return bus;
  }

  async contextOf(name: string, qdrant?: TestQdrant): Promise<RoleContext> {
    const config = configSchema.parse({
      // The model of these tests has few axes, so unrelated texts are nearer than a real one puts them.
      embeddings: {
        baseUrl: this.model.baseUrl,
        model: "concepts",
        thresholds: { en: 0.6, nl: 0.6, und: 0.6 },
      },
      ...(qdrant ? { qdrant: { url: qdrant.url } } : {}),
    });
    const bus = await this.connect(name);
    return { bus, deployment: this.#deployment, config, log: silentLog, clock: systemClock, instance: name };
  }

  async started<T extends { stop(): Promise<void> }>(starting: Promise<T> | T): Promise<T> {
    const part = await starting;
    this.cleanups.push(() => part.stop());
    return part;
  }

  async retrievalOf(name: string, qdrant?: TestQdrant): Promise<Retrieval> {
    return this.started(startRetrieval(await this.contextOf(name, qdrant)));
  }

  async indexerOf(name: string, qdrant?: TestQdrant): Promise<RunningRole> {
    return this.started(startIndexerRole(await this.contextOf(name, qdrant)));
  }
}

/** An indexer, and a process that retrieves, which has what the shop says. */
export async function shopOf(world: VectorWorld, qdrant?: TestQdrant): Promise<Retrieval> {
  await world.indexerOf("indexer", qdrant);
  const one = await world.retrievalOf("one", qdrant);
  await indexed(one, await fill(one));
  return one;
}

export const ask = (
  { retriever }: Pick<Retrieval, "retriever">,
  question: string,
  options: object = {},
): Promise<Passage[]> =>
  retriever.retrieve({ tenant: "acme", collections: ["shop"], question, locale: "en", limit: 3, ...options });
export const documentsOf = (passages: readonly Passage[]): string[] => [
  ...new Set(passages.map((each) => each.document)),
];

export const SHOP = {
  delivery: { title: "Delivery", text: "A parcel is with you in two days.", locale: "en" },
  refunds: { title: "Refunds", text: "A refund takes a week.", locale: "en" },
  login: { title: "Your password", text: "Choose a new password on the page of your account.", locale: "en" },
};

/** @returns the last revision */
export async function fill({ store }: Retrieval, tenant = "acme"): Promise<number> {
  let last = 0;
  for (const [id, document] of Object.entries(SHOP))
    last = (await store.put(tenant, "shop", id, document)).revision;
  return last;
}
export async function indexed({ store }: Retrieval, revision: number): Promise<void> {
  if (!(await store.waitIndexed(revision, PATIENCE_MS)))
    throw new Error(`${revision} is not indexed in time`);
}

/** Shares no word with the document that answers it. */
export const BY_MEANING = "When does my shipment arrive?";

// Conversation hosts with knowledge and caches on one real server, and a model that can be held and counted: an HTTP
// server that speaks OpenAI's chat completions and cites the first passage it is given.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ConversationClient } from "#actors/conversation/client.ts";
import { createKnowledgeStore, type RunningStore } from "#actors/knowledge/store.ts";
import { decode } from "#contracts/codec.ts";
import { type Config, configSchema } from "#contracts/config.ts";
import { shardOf } from "#contracts/ids.ts";
import { routeOf, turnSessionFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startConversationHost } from "#ops/compose/conversation.ts";
import { startIndexerRole } from "#ops/compose/indexer.ts";
import { type Retrieval, startRetrieval } from "#ops/compose/retrieval.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { stretchPatience } from "#runtime/within.ts";
import { silentLog } from "./knowledge.ts";
import { startTestNats, type TestNats } from "./nats.ts";
import { PATIENCE_MS, SLOW_MACHINE, waitUntil } from "./wait.ts";

const SHARDS = 1;
export const TENANT = "demo";

/** What the model saw and says. */
export class CitingModel {
  /** The last message of each request, in order of arrival. */
  readonly asked: string[] = [];
  /** What it answers; the mark cites the first passage. */
  reply: (question: string) => string = () => "As the document says [1].";
  /** Of each answer. */
  delayMs = 0;
  #held: (() => void)[] | undefined;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<CitingModel> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as { messages: { content: string }[] };
        const content = body.messages.at(-1)?.content ?? "";
        const question = content.slice(content.lastIndexOf("Question: ") + "Question: ".length);
        model.asked.push(question);
        const answer = (): void => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          const chunk = {
            choices: [{ index: 0, delta: { content: model.reply(question) }, finish_reason: "stop" }],
          };
          response.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`);
        };
        if (model.#held) model.#held.push(answer);
        else if (model.delayMs > 0) setTimeout(answer, model.delayMs);
        else answer();
      });
    });
    const model = new CitingModel(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return model;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const answer of held) answer();
  }

  stop(): void {
    this.release();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export interface CachedHost {
  readonly role: RunningRole;
  readonly retrieval: Retrieval;
  /** Ends at once, as a process that dies. */
  end(): Promise<void>;
}

export class CachedWorld {
  readonly nats: TestNats;
  readonly bus: Bus;
  readonly model: CitingModel;
  readonly store: RunningStore;
  readonly client: ConversationClient;
  readonly hosts: CachedHost[] = [];
  readonly #deployment: Deployment;
  readonly #config: Config;
  readonly #ends: (() => Promise<unknown>)[] = [];
  #names = 0;

  private constructor(parts: {
    nats: TestNats;
    bus: Bus;
    model: CitingModel;
    deployment: Deployment;
    config: Config;
  }) {
    this.nats = parts.nats;
    this.bus = parts.bus;
    this.model = parts.model;
    this.#deployment = parts.deployment;
    this.#config = parts.config;
    this.store = createKnowledgeStore(this.bus, systemClock);
    this.client = new ConversationClient(this.bus, this.#deployment, systemClock);
  }

  /** A server, a model, a worker, and so many hosts; `change` goes into the configuration. */
  static async start(hosts: number, change: Record<string, unknown> = {}): Promise<CachedWorld> {
    stretchPatience(SLOW_MACHINE);
    const nats = await startTestNats();
    const bus = await connectBus({ servers: nats.url, name: "test", log: silentLog });
    const model = await CitingModel.start();
    const config = configSchema.parse({
      assistants: { shop: { instructions: "Be brief.", knowledge: ["c"] } },
      pools: {
        default: { models: [{ name: "citing", baseUrl: model.baseUrl, apiKey: "none", concurrency: 64 }] },
      },
      ...change,
    });
    const deployment = await provision(bus, { shards: SHARDS, pools: Object.keys(config.pools) });
    const world = new CachedWorld({ nats, bus, model, deployment, config });
    const worker = await startWorker(await world.#context());
    world.#ends.push(() => worker.stop());
    for (let n = 0; n < hosts; n++) await world.host();
    await world.settled(hosts);
    return world;
  }

  async #context(): Promise<RoleContext> {
    const instance = `host-${++this.#names}`;
    const bus = await connectBus({ servers: this.nats.url, name: instance, log: silentLog });
    this.#ends.push(() => bus.close());
    return {
      bus,
      deployment: this.#deployment,
      config: this.#config,
      log: silentLog,
      clock: systemClock,
      instance,
    };
  }

  /** One more host. */
  async host(): Promise<CachedHost> {
    const context = await this.#context();
    const retrieval = await startRetrieval(context);
    const { retriever, cache } = retrieval;
    const role = await startConversationHost(context, { retriever, cache, languageOf: () => "en" });
    let ended = false;
    const host: CachedHost = {
      role,
      retrieval,
      end: async () => {
        if (ended) return;
        ended = true;
        this.hosts.splice(this.hosts.indexOf(host), 1);
        await role.stop();
        await retrieval.stop();
        await context.bus.close();
      },
    };
    this.hosts.push(host);
    this.#ends.push(() => host.end());
    return host;
  }

  /** Makes the vectors of documents, where embeddings are configured. */
  async indexer(): Promise<void> {
    const role = await startIndexerRole(await this.#context());
    this.#ends.push(() => role.stop());
  }

  /** Every host has its share of the partitions. */
  async settled(hosts: number): Promise<void> {
    await waitUntil(
      () => this.hosts.length === hosts && this.hosts.every(({ role }) => role.readiness() === undefined),
      { what: `${hosts} hosts to hold partitions` },
    );
  }

  /** Stores a document and waits until every host finds it. */
  async put(document: string, text: string): Promise<number> {
    const { revision } = await this.store.put(TENANT, "c", document, { title: document, text, locale: "en" });
    if (!(await this.store.waitIndexed(revision, PATIENCE_MS))) throw new Error("not indexed in time");
    return revision;
  }

  async send(session: string, text: string, id: string = crypto.randomUUID()): Promise<string> {
    const body = { parts: [{ type: "text" as const, text }], channel: "web" };
    await this.client.send({ tenant: TENANT, session, id, body });
    return id;
  }

  async records(session: string): Promise<TurnRecord[]> {
    const { partition } = routeOf({ kind: CONVERSATION, tenant: TENANT, key: session });
    const shard = shardOf(partition, SHARDS);
    const filter = turnSessionFilter(shard, TENANT, session);
    const messages = await messagesFrom(this.bus, turnsStream(shard), filter, 1, 1_000);
    return messages.map(({ data }) => decode<TurnRecord>(data));
  }

  /** The record of the turn that answers the message. */
  async recordOf(session: string, id: string): Promise<TurnRecord> {
    return await waitUntil(
      async () => (await this.records(session)).find(({ messages }) => messages?.some((m) => m.id === id)),
      { what: `the turn of ${session}`, pollMs: 20 },
    );
  }

  async ask(session: string, text: string): Promise<TurnRecord> {
    return await this.recordOf(session, await this.send(session, text));
  }

  async stop(): Promise<void> {
    this.model.stop();
    this.store.stop();
    for (const end of this.#ends.reverse()) await end();
    await this.bus.close();
    await this.nats.stop();
  }
}

// Governors, hosts, workers and a gateway on one real server with two pools, each member on a connection of its own.
import { ConversationClient } from "#actors/conversation/client.ts";
import { createLoadAdmin } from "#actors/governor/admin.ts";
import type { LevelStatus, LoadAdmin } from "#actors/governor/port.ts";
import { type LoadWatch, watchLoad } from "#actors/governor/watch.ts";
import type { Retriever } from "#actors/knowledge/port.ts";
import { decode, encode } from "#contracts/codec.ts";
import { configSchema } from "#contracts/config.ts";
import { shardOf } from "#contracts/ids.ts";
import type { Job, Passage } from "#contracts/job.ts";
import { inferSubject, routeOf, turnSessionFilter, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION, type TurnRecord } from "#contracts/turn.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { startConversationHost } from "#ops/compose/conversation.ts";
import { startGateway } from "#ops/compose/gateway.ts";
import { startGovernor } from "#ops/compose/governor.ts";
import { startWorker } from "#ops/compose/worker.ts";
import { ActorMailer } from "#runtime/actor/mailer.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { MemoryKnowledge } from "./gateway.ts";
import { silentLog } from "./inference.ts";
import { startTestNats, type TestNats } from "./nats.ts";
import { waitUntil } from "./wait.ts";

const model = { models: [{ name: "echo", provider: "echo" }] };
const CONFIG = configSchema.parse({
  assistants: { default: { instructions: "Be brief.", model: "large", knowledge: ["shop"] } },
  pools: { large: { ...model, degradeTo: "small" }, small: model },
  // Small numbers for a test in a hurry; their relations are those of the defaults.
  governor: { raiseMs: [400, 800, 1_500], holdMs: 300 },
  tenantShare: 2,
});
const ROUND_MS = 100;
export const LEASE_MS = 900;

export const DELIVERY: Passage = {
  collection: "shop",
  document: "delivery-en",
  revision: 1,
  storedAt: 1,
  title: "Delivery",
  locale: "en",
  text: "# Delivery\n\nDelivery takes 1 to 2 working days.",
  score: 1,
};
const retriever: Retriever = { retrieve: async () => [DELIVERY] };

export interface Member {
  readonly role: RunningRole;
  readonly bus: Bus;
  readonly instance: string;
}

export class LoadWorld {
  readonly bus: Bus;
  readonly client: ConversationClient;
  readonly admin: LoadAdmin;
  readonly load: LoadWatch;
  readonly #nats: TestNats;
  readonly #deployment: Deployment;
  readonly #members = new Set<Member>();
  #names = 0;

  private constructor(nats: TestNats, bus: Bus, deployment: Deployment) {
    this.#nats = nats;
    this.bus = bus;
    this.#deployment = deployment;
    this.client = new ConversationClient(bus, deployment, systemClock);
    this.load = watchLoad(bus);
    this.admin = createLoadAdmin(bus, systemClock, this.load);
  }

  get url(): string {
    return this.#nats.url;
  }

  static async start(): Promise<LoadWorld> {
    const nats = await startTestNats();
    const bus = await connectBus({ servers: nats.url, name: "test", log: silentLog });
    return new LoadWorld(nats, bus, await provision(bus, { shards: 1, pools: Object.keys(CONFIG.pools) }));
  }

  governor(): Promise<Member> {
    return this.#start((context) => startGovernor(context, { roundMs: ROUND_MS, leaseMs: LEASE_MS }));
  }

  host(): Promise<Member> {
    return this.#start((context) => startConversationHost(context, { retriever }));
  }

  worker(pools?: readonly string[]): Promise<Member> {
    return this.#start((context) => startWorker(context, pools ? { pools } : {}));
  }

  async gateway(): Promise<string> {
    const { role } = await this.#start((context) =>
      startGateway(context, {
        host: "127.0.0.1",
        port: 0,
        conversations: this.client,
        knowledge: new MemoryKnowledge(),
        actors: new ActorMailer({ ...context, kinds: [] }),
        readiness: () => ({ ready: true, reasons: [] }),
      }),
    );
    return (role as RunningRole & { url: string }).url;
  }

  async #start(start: (context: RoleContext) => Promise<RunningRole>): Promise<Member> {
    const instance = `member-${++this.#names}`;
    const bus = await connectBus({ servers: this.#nats.url, name: instance, log: silentLog });
    const deployment = this.#deployment;
    const role = await start({
      bus,
      deployment,
      config: CONFIG,
      log: silentLog,
      clock: systemClock,
      instance,
    });
    const member = { role, bus, instance };
    this.#members.add(member);
    return member;
  }

  /** Ends a member in good order. */
  async end(member: Member): Promise<void> {
    if (!this.#members.delete(member)) return;
    await member.role.drain();
    await member.role.stop();
    await member.bus.close();
  }

  /** Its connection is gone at once; the member itself does not know. */
  async cut(member: Member): Promise<void> {
    await member.bus.close();
  }

  async submit(job: Job): Promise<void> {
    await this.bus.append(inferSubject(job), encode(job), { id: job.id });
  }

  /** The status, once the level in force is this one. */
  atLevel(level: number): Promise<LevelStatus> {
    return waitUntil(
      async () => {
        const status = await this.admin.status();
        return status.level === level && status;
      },
      { what: `level ${level}`, pollMs: 30 },
    );
  }

  async say(tenant: string, session: string, text: string): Promise<void> {
    const body = { parts: [{ type: "text" as const, text }], channel: "web" };
    await this.client.send({ tenant, session, id: systemClock.id(), body });
  }

  /** The records of a session, once there are that many. */
  records(tenant: string, session: string, count: number): Promise<TurnRecord[]> {
    const { shards } = this.#deployment;
    const shard = shardOf(routeOf({ kind: CONVERSATION, tenant, key: session }).partition, shards);
    return waitUntil(
      async () => {
        const filter = turnSessionFilter(shard, tenant, session);
        const stored = await messagesFrom(this.bus, turnsStream(shard), filter, 1, 100);
        return stored.length >= count && stored.map(({ data }) => decode<TurnRecord>(data));
      },
      { what: `${count} records of ${session}` },
    );
  }

  async ask(tenant: string, session: string, text: string): Promise<TurnRecord> {
    const before = await this.records(tenant, session, 0);
    await this.say(tenant, session, text);
    return (await this.records(tenant, session, before.length + 1)).at(-1) as TurnRecord;
  }

  async stop(): Promise<void> {
    for (const member of [...this.#members]) await this.end(member).catch(() => {});
    this.load.stop();
    await this.bus.close();
    await this.#nats.stop();
  }
}

// Conversation hosts and workers with the echo model on one real server, in one process, and what tests look at.
import { ConversationClient } from "#actors/conversation/client.ts";
import { type Config, configSchema } from "#contracts/config.ts";
import { shardOf } from "#contracts/ids.ts";
import {
  DEADLETTER,
  deadLetterFilter,
  inboundStream,
  inferSessionFilter,
  inferStream,
  routeOf,
  TOKENS,
  timerFilter,
  tokensSessionFilter,
  turnSessionFilter,
  turnsStream,
} from "#contracts/subjects.ts";
import { CONVERSATION, type StreamEvent, type TranscriptTurn } from "#contracts/turn.ts";
import type { RoleContext, RunningRole } from "#ops/compose/context.ts";
import { type ConversationHostOptions, startConversationHost } from "#ops/compose/conversation.ts";
import { startWorker, type WorkerOptions } from "#ops/compose/worker.ts";
import { tellActor } from "#runtime/actor/client.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messagesFrom } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { createLog, type Log } from "#runtime/observe/log.ts";
import { startTestNats, type TestNats } from "./nats.ts";
import { waitUntil } from "./wait.ts";

const quiet = createLog({ level: process.env.JETCLAW_LOG_LEVEL ?? "silent" });
const TENANT = "demo";

export class ConversationWorld {
  readonly log: Log;
  readonly nats: TestNats;
  readonly bus: Bus;
  readonly deployment: Deployment;
  readonly client: ConversationClient;
  readonly #running = new Set<{ role: RunningRole; bus: Bus }>();
  #names = 0;

  private constructor(nats: TestNats, bus: Bus, deployment: Deployment, log: Log) {
    this.log = log;
    this.nats = nats;
    this.bus = bus;
    this.deployment = deployment;
    this.client = new ConversationClient(bus, deployment, systemClock);
  }

  static async start(shards: number, log = quiet): Promise<ConversationWorld> {
    const nats = await startTestNats();
    const bus = await connectBus({ servers: nats.url, name: "test", log });
    return new ConversationWorld(nats, bus, await provision(bus, { shards, pools: ["default"] }), log);
  }

  /** A conversation host with its reaper. */
  host(
    options: Partial<Config> = {},
    parts: Pick<ConversationHostOptions, "restMs" | "languageOf"> = {},
  ): Promise<RunningRole> {
    return this.#start((context) =>
      // The configuration's own minimum is for people; a test may be in a hurry.
      startConversationHost({ ...context, config: { ...context.config, ...options } }, parts),
    );
  }

  worker(echo: WorkerOptions["echo"] = {}, options: Partial<Config> = {}): Promise<RunningRole> {
    return this.#start((context) =>
      startWorker({ ...context, config: { ...context.config, ...options } }, { echo }),
    );
  }

  async #start(role: (context: RoleContext) => Promise<RunningRole>): Promise<RunningRole> {
    const { log } = this;
    const instance = `member-${++this.#names}`;
    const bus = await connectBus({ servers: this.nats.url, name: instance, log });
    const config = configSchema.parse({
      assistants: { default: { instructions: "Be brief." } },
      pools: { default: { models: [{ name: "echo", provider: "echo" }] } },
    });
    const running = await role({
      bus,
      deployment: this.deployment,
      config,
      log,
      clock: systemClock,
      instance,
    });
    this.#running.add({ role: running, bus });
    return running;
  }

  /** Ends a role at once. */
  async end(role: RunningRole): Promise<void> {
    for (const member of this.#running)
      if (member.role === role && this.#running.delete(member)) {
        await member.role.stop();
        await member.bus.close();
      }
  }

  /** @returns its sequence */
  send(session: string, id: string, text: string, channel = "web"): Promise<number> {
    return this.client.send({
      tenant: TENANT,
      session,
      id,
      body: { parts: [{ type: "text", text }], channel },
    });
  }

  tell(session: string, type: string, body: unknown): Promise<string> {
    return tellActor(this.bus, systemClock, { kind: CONVERSATION, tenant: TENANT, key: session }, type, body);
  }

  /** The closed turns, once there are that many and none runs. */
  closed(session: string, count: number): Promise<readonly TranscriptTurn[]> {
    return waitUntil(
      async () => {
        const transcript = await this.client.transcript(TENANT, session);
        return transcript?.status === "idle" && transcript.turns.length >= count && transcript.turns;
      },
      { what: `${count} closed turns of ${session}`, pollMs: 30 },
    );
  }

  status(session: string): Promise<string | undefined> {
    return this.client.transcript(TENANT, session).then((t) => t?.status);
  }

  /** Events of the session from now on. */
  async follow(session: string): Promise<StreamEvent[]> {
    const events: StreamEvent[] = [];
    await this.client.follow(TENANT, session, (event) => void events.push(event));
    return events;
  }

  /** What every stream still holds of a session. */
  async traces(session: string): Promise<Record<"turns" | "tokens" | "jobs" | "timers" | "dead", number>> {
    const route = routeOf({ kind: CONVERSATION, tenant: TENANT, key: session });
    const shard = shardOf(route.partition, this.deployment.shards);
    // Every conversation has a timer for when nobody writes any more; it is no trace of anything that runs.
    const count = async (stream: string, filter: string): Promise<number> =>
      (await messagesFrom(this.bus, stream, filter, 1, 1_000)).filter(
        ({ subject }) => !subject.endsWith(".idle"),
      ).length;
    return {
      turns: await count(turnsStream(shard), turnSessionFilter(shard, TENANT, session)),
      tokens: await count(TOKENS, tokensSessionFilter(TENANT, session)),
      jobs: await count(inferStream("default"), inferSessionFilter("default", TENANT, session)),
      timers: await count(inboundStream(shard), timerFilter(route)),
      dead: await count(DEADLETTER, deadLetterFilter({ kind: CONVERSATION, tenant: TENANT, key: session })),
    };
  }

  async stop(): Promise<void> {
    for (const { role } of [...this.#running]) await this.end(role);
    await this.bus.close();
    await this.nats.stop();
  }
}

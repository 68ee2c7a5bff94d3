// Hosts of actors in one process on one real server, each with a connection of its own, so that one can be drained, cut
// off or left behind like a process of its own.
import { decode } from "#contracts/codec.ts";
import { PARTITIONS } from "#contracts/ids.ts";
import { actorsBucket, DEADLETTER, inboundStream, routeOf } from "#contracts/subjects.ts";
import { readActorState, tellActor } from "#runtime/actor/client.ts";
import type { ActorKind } from "#runtime/actor/define.ts";
import { ActorHost, type Unsafe } from "#runtime/actor/host.ts";
import { systemClock } from "#runtime/clock.ts";
import { type Bus, connectBus } from "#runtime/nats/connect.ts";
import { messagesFrom, streamState } from "#runtime/nats/reader.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Placement } from "#runtime/placement/placement.ts";
import { startTestNats, type TestNats } from "./nats.ts";
import { waitUntil } from "./wait.ts";

const log = createLog({ level: process.env.JETCLAW_LOG_LEVEL ?? "silent" });
const TENANT = "demo";

export interface WorldHost {
  readonly instance: string;
  readonly host: ActorHost;
  readonly placement: Placement;
  readonly bus: Bus;
  /** As a SIGTERM ends it: hands over, then stops. */
  leave(): Promise<void>;
  /** As a SIGKILL or a pulled cable ends it: no word to anybody. */
  kill(): Promise<void>;
}

export interface DeadLetterSeen {
  readonly reason: string;
  readonly type?: string;
  readonly id?: string;
  readonly subject?: string;
  readonly bytes?: Uint8Array;
}

export class ActorWorld {
  readonly nats: TestNats;
  readonly bus: Bus;
  readonly deployment: Deployment;
  readonly #hosts = new Set<WorldHost>();
  #names = 0;

  private constructor(nats: TestNats, bus: Bus, deployment: Deployment) {
    this.nats = nats;
    this.bus = bus;
    this.deployment = deployment;
  }

  static async start(shards: number, pools: readonly string[] = []): Promise<ActorWorld> {
    const nats = await startTestNats();
    const bus = await connectBus({ servers: nats.url, name: "test", log });
    return new ActorWorld(nats, bus, await provision(bus, { shards, pools }));
  }

  /** Starts a host; resolves when it holds its first partitions, or has none to hold. */
  async host(
    kinds: readonly ActorKind[],
    { weight, ...options }: { residency?: number; unsafe?: Unsafe; weight?: number } = {},
  ): Promise<WorldHost> {
    const instance = `host-${++this.#names}`;
    const bus = await connectBus({ servers: this.nats.url, name: instance, log });
    const host = new ActorHost({
      bus,
      log,
      clock: systemClock,
      deployment: this.deployment,
      instance,
      kinds,
      ...options,
    });
    const placement = new Placement({ host, instance, ...(weight === undefined ? {} : { weight }) });
    const end = async (): Promise<void> => {
      if (!this.#hosts.delete(handle)) return;
      placement.stop();
      host.close();
      await bus.close();
    };
    const handle: WorldHost = {
      instance,
      host,
      placement,
      bus,
      async leave() {
        await placement.drain();
        await end();
      },
      async kill() {
        await bus.nc.close();
        await end();
      },
    };
    this.#hosts.add(handle);
    await placement.start();
    await placement.ready;
    return handle;
  }

  /** Resolves when these hosts hold all partitions between them, each its equal share. */
  async balanced(...hosts: readonly WorldHost[]): Promise<void> {
    const share = PARTITIONS / hosts.length;
    await waitUntil(
      () =>
        hosts.reduce((sum, { host }) => sum + host.partitions.length, 0) === PARTITIONS &&
        hosts.every(({ host }) => Math.abs(host.partitions.length - share) < 1),
      { what: `${hosts.length} hosts to share the partitions` },
    );
  }

  tell(kind: string, key: string, type: string, body: unknown, id?: string): Promise<string> {
    return tellActor(this.bus, systemClock, { kind, tenant: TENANT, key }, type, body, { id });
  }

  state<T>(kind: string, key: string): Promise<T | undefined> {
    return readActorState<T>(this.bus, this.deployment, routeOf({ kind, tenant: TENANT, key }));
  }

  /** Everything that actors were sent is processed and acked, or fired. */
  async settled(): Promise<void> {
    await waitUntil(async () => (await this.waiting()) === 0, {
      what: "empty queues",
      pollMs: 50,
    });
  }

  /** Messages and schedules that the streams still hold for actors. */
  async waiting(): Promise<number> {
    const shards = Array.from({ length: this.deployment.shards }, (_, s) => inboundStream(s));
    const states = await Promise.all(shards.map((stream) => streamState(this.bus, stream)));
    return states.reduce((sum, { messages }) => sum + messages, 0);
  }

  /** Grows with every state that is written. */
  async stateRevisions(): Promise<number> {
    const shards = Array.from({ length: this.deployment.shards }, (_, s) => `KV_${actorsBucket(s)}`);
    const states = await Promise.all(shards.map((stream) => streamState(this.bus, stream)));
    return states.reduce((sum, { lastSeq }) => sum + lastSeq, 0);
  }

  async deadLetters(): Promise<DeadLetterSeen[]> {
    const stored = await messagesFrom(this.bus, DEADLETTER, "dead.>", 1, 256);
    return stored.map(({ data }) => decode<DeadLetterSeen>(data));
  }

  /** Waits for the dead letter that `is` picks out. */
  deadLetter(is: (letter: DeadLetterSeen) => boolean, what: string): Promise<DeadLetterSeen> {
    return waitUntil(async () => (await this.deadLetters()).find(is), {
      what,
      pollMs: 50,
    });
  }

  async stop(): Promise<void> {
    for (const host of [...this.#hosts]) await host.kill();
    await this.bus.close();
    await this.nats.stop();
  }
}

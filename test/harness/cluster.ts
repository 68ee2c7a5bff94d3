// A cluster of real processes with verbs: one nats-server or three, hosts and workers each a Node process of its own. Members get
// names in the order in which they start; a name is never used twice, as in life a restarted host is a new instance.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PoolConfig } from "#contracts/config.ts";
import { inboundStream, inferStream } from "#contracts/subjects.ts";
import { connectTo } from "#ops/compose/open.ts";
import type { Unsafe } from "#runtime/actor/host.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { type Deployment, provision } from "#runtime/nats/topology.ts";
import { createLog } from "#runtime/observe/log.ts";
import { Member } from "./member-process.ts";
import { HARNESS, NatsNodes, type SyncInterval } from "./nats-nodes.ts";
import type { Arm, Embeddings, MemberRole } from "./orders.ts";
import type { TallyBuild } from "./tally.ts";
import { waitUntil } from "./wait.ts";

export interface ClusterOptions {
  readonly hosts: number;
  readonly workers: number;
  /** Numbered copies of the streams; default 2, so that more than one is exercised. */
  readonly shards?: number;
  readonly pools?: Readonly<Record<string, PoolConfig>>;
  readonly embeddings?: Embeddings | undefined;
  /** Kept at the end when given, so that a later cluster can go on with it. */
  readonly dir?: string;
  /** NATS servers; every stream has as many replicas. Default 1. */
  readonly servers?: 1 | 3;
  /** Of every stream; default as many as there are servers. */
  readonly replicas?: 1 | 3 | undefined;
  /** Lines also in front of a single server; a cluster of three always has them. */
  readonly lines?: boolean;
  /** NATS nodes in network namespaces instead of behind lines. */
  readonly netns?: boolean | undefined;
  /** For what the lines draw. */
  readonly seed?: number;
  /** Where a NATS node keeps its data. */
  readonly storeOf?: (node: string) => string;
  /** Default: `1s` on one server, `always` on three. */
  readonly syncInterval?: SyncInterval;
  readonly unsafe?: Unsafe | undefined;
  /** Activations that a host keeps in memory: with few of them state is read again and again. */
  readonly residency?: number | undefined;
  /** Hosts also run tallies, as this build of them. */
  readonly build?: TallyBuild | undefined;
  /** Processes that have loaded their modules and wait for a role, so that a restart costs no start-up time. */
  readonly spares?: number;
  /** The first host keeps the first placement in mind, whatever happens to the partitions afterwards. */
  readonly outdatedHost?: boolean;
  /** What this host has switched off, instead of what all have. */
  readonly outdatedUnsafe?: Unsafe | undefined;
}

export interface Launch {
  /** Armed before it joins. */
  readonly arm?: Arm;
  /** A host that never learns again who owns what. */
  readonly frozenView?: boolean;
  readonly unsafe?: Unsafe | undefined;
  /** Where a gateway listens. */
  readonly port?: number;
  /** What it is given may kill it before it is ready. */
  readonly mayDie?: boolean;
  /** Another build of the tallies than the cluster's. */
  readonly build?: TallyBuild;
}

export const ECHO_POOL: Readonly<Record<string, PoolConfig>> = {
  default: { models: [{ name: "echo", provider: "echo", concurrency: 16 }], fallback: [] },
};

export class Cluster {
  readonly nats: NatsNodes;
  readonly dir: string;
  readonly deployment: Deployment;
  /** The harness's own connection. */
  readonly bus: Bus;
  readonly #options: ClusterOptions;
  readonly #members = new Set<Member>();
  readonly #spares: Member[] = [];
  #started = 0;
  /** A later cluster on the same data is made of other processes, and their names must tell. */
  readonly #run = Date.now().toString(36);
  #closed = false;
  #failure: Error | undefined;

  private constructor(
    options: ClusterOptions,
    parts: { nats: NatsNodes; dir: string; bus: Bus; deployment: Deployment },
  ) {
    this.#options = options;
    this.nats = parts.nats;
    this.dir = parts.dir;
    this.bus = parts.bus;
    this.deployment = parts.deployment;
  }

  /** Starts the server and the members; resolves when all take work. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), "jetclaw-cluster-")));
    await mkdir(join(dir, "nats"), { recursive: true });
    await mkdir(join(dir, "logs"), { recursive: true });
    const { servers = 1, lines = false, seed = 1 } = options;
    const nats = await NatsNodes.start({
      dir: join(dir, "nats"),
      size: servers,
      syncInterval: options.syncInterval ?? (servers === 1 ? "1s" : "always"),
      lines,
      netns: options.netns ?? false,
      seed,
      ...(options.storeOf ? { storeOf: options.storeOf } : {}),
    });
    const bus = await connectTo(nats.directUrl, HARNESS, createLog({ level: "fatal" }));
    const pools = Object.keys(options.pools ?? ECHO_POOL);
    const deployment = await provision(bus, {
      shards: options.shards ?? 2,
      replicas: options.replicas ?? servers,
      pools,
    });
    const cluster = new Cluster(options, { nats, dir, bus, deployment });
    try {
      const { outdatedHost, outdatedUnsafe, unsafe } = options;
      if (outdatedHost)
        await cluster.start("conversation", { frozenView: true, unsafe: outdatedUnsafe ?? unsafe });
      await Promise.all([
        ...Array.from({ length: options.hosts }, () => cluster.start("conversation")),
        ...Array.from({ length: options.workers }, () => cluster.start("worker")),
      ]);
    } catch (error) {
      await cluster.close();
      throw error;
    }
    cluster.#refillSpares();
    return cluster;
  }

  /** The living members of a role, the oldest first. @throws when one could not start: waiting for it is no use */
  members(role: MemberRole): Member[] {
    if (this.#failure) throw this.#failure;
    return [...this.#members].filter((m) => m.role === role && m.running);
  }

  /** Starts a member without waiting for it. */
  launch(role: MemberRole, how: Launch = {}): Member {
    const spare = this.#spares.find((m) => m.running);
    if (spare) this.#spares.splice(this.#spares.indexOf(spare), 1);
    const member = spare ?? this.#spawn();
    const name = how.frozenView ? "outdated" : role === "conversation" ? "host" : role;
    const instance = `${name}-${String(++this.#started).padStart(4, "0")}-${this.#run}`;
    this.#members.add(member);
    void member.ended.then(() => {
      this.#members.delete(member);
      if (member.failure && !how.mayDie)
        this.#failure ??= new Error(`${instance} did not start: ${member.failure}`);
    });
    member.join({
      role,
      instance,
      url: this.nats.url,
      shards: this.deployment.shards,
      replicas: this.deployment.replicas as 1 | 3,
      pools: this.#options.pools ?? ECHO_POOL,
      embeddings: this.#options.embeddings,
      unsafe: this.#options.unsafe,
      residency: this.#options.residency,
      build: this.#options.build,
      ...how,
    });
    this.#refillSpares();
    return member;
  }

  /** Starts a member; resolves when it takes work, or was hit by what it was armed with. */
  async start(role: MemberRole, how: Launch = {}): Promise<Member> {
    const member = this.launch(role, how);
    await member.ready();
    return member;
  }

  /** What each queue holds: what is not processed, what is not answered. */
  async queues(): Promise<Record<string, number>> {
    const streams = [
      ...Array.from({ length: this.deployment.shards }, (_, s) => inboundStream(s)),
      ...Object.keys(this.#options.pools ?? ECHO_POOL).map(inferStream),
    ];
    const counts = await Promise.all(streams.map((stream) => this.#held(stream)));
    return Object.fromEntries(streams.map((stream, n) => [stream, counts[n] ?? 0]));
  }

  /** Without the timers of conversations for when nobody writes any more: they wait for a day. */
  async #held(stream: string): Promise<number> {
    const { state } = await this.bus.jsm.streams.info(stream, { subjects_filter: ">" });
    return Object.entries(state.subjects ?? {}).reduce(
      (sum, [subject, count]) => sum + (/^sched\..*\.idle$/.test(subject) ? 0 : count),
      0,
    );
  }

  /** Resolves with what is left: nothing, or what did not go away in time. */
  async drained(timeoutMs: number): Promise<Record<string, number>> {
    let queues = await this.queues();
    await waitUntil(
      async () => {
        queues = await this.queues();
        return Object.values(queues).every((left) => left === 0);
      },
      { timeoutMs, what: "the queues to be empty", pollMs: 100 },
    ).catch(() => {});
    return queues;
  }

  /** SIGKILL to everything, the server included; the data stays. */
  async killEverything(): Promise<void> {
    await Promise.all([...this.#members].map((m) => m.kill()).concat(this.nats.kill()));
  }

  /** Ends everything by its process id. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.bus.close().catch(() => {});
    await Promise.all([...this.#members, ...this.#spares].map((m) => m.kill()));
    await this.nats.close().catch(() => {});
    if (this.#options.dir === undefined && !process.env.JETCLAW_KEEP_TEST_DIR)
      await rm(this.dir, { recursive: true, force: true });
  }

  #spawn(): Member {
    return Member.spawn(join(this.dir, "logs", `${process.pid}-${Date.now()}-${this.#spawned++}.log`));
  }
  #spawned = 0;

  #refillSpares(): void {
    while (!this.#closed && this.#spares.filter((m) => m.running).length < (this.#options.spares ?? 0))
      this.#spares.push(this.#spawn());
  }
}

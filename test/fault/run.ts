// One fault run: a cluster under load, watched from outside, whatever is done to it meanwhile, and the judgement.

import type { PoolConfig } from "#contracts/config.ts";
import { routeOf, turnsStream } from "#contracts/subjects.ts";
import { CONVERSATION } from "#contracts/turn.ts";
import { connectTo } from "#ops/compose/open.ts";
import { type Simulator, startSimulator } from "#ops/simulator/server.ts";
import type { Bus } from "#runtime/nats/connect.ts";
import { shardOfRoute } from "#runtime/nats/inbound.ts";
import { streamState } from "#runtime/nats/reader.ts";
import type { KillPoint } from "#runtime/observe/kill-point.ts";
import { createLog } from "#runtime/observe/log.ts";
import { PlacementStore } from "#runtime/placement/document.ts";
import { checkHistory, type Verdict } from "#test/harness/checker.ts";
import { Cluster, type ClusterOptions } from "#test/harness/cluster.ts";
import { closedTurnsOf } from "#test/harness/conversation-state.ts";
import { type Fault, type Figures, figuresOf } from "#test/harness/figures.ts";
import type { Published } from "#test/harness/history.ts";
import { Load } from "#test/harness/load.ts";
import type { Member } from "#test/harness/member-process.ts";
import { ALL_EFFECTS, observe } from "#test/harness/observer.ts";
import { type Random, randomOf } from "#test/harness/random.ts";
import { Recorder } from "#test/harness/recorder.ts";
import { TallyLoad } from "#test/harness/tally-load.ts";
import { waitUntil } from "#test/harness/wait.ts";

export interface FaultRunOptions extends ClusterOptions {
  readonly seed: number;
  readonly sessions?: number;
  readonly tenants?: number;
  readonly perSecond?: number;
  /** After this time no further fault is begun. */
  readonly limitMs: number;
  readonly say?: (line: string) => void;
  /** The next kill waits until the last one is overcome: then the time a takeover takes can be read. */
  readonly calm?: boolean;
  /** People write over lines too, and are hit by what hits them; otherwise they write on the harness's own connection. */
  readonly peopleOnLines?: boolean;
  /** Kinds of effects that can be demanded; where NATS dies, only what a stream keeps. */
  readonly effects?: readonly Published["what"][];
  /** How long the queues have to become empty; shorter where a control run knows that they will not. */
  readonly drainMs?: number | undefined;
  /** An OpenAI-compatible server with a bill instead of the model inside the workers. */
  readonly simulator?: boolean;
  /** Besides, an author's actors with timers, so many of them. */
  readonly tallies?: number;
}

export interface PointCount {
  armed: number;
  hit: number;
}

export interface Outcome {
  readonly seed: number;
  readonly verdict: Verdict;
  readonly figures: Figures;
  readonly faults: Readonly<Record<string, number>>;
  readonly points: Readonly<Partial<Record<KillPoint, PointCount>>>;
  readonly seconds: number;
  /** Messages that tallies acknowledged, and what they wrote down that is wrong. */
  readonly tallied: { readonly acknowledged: number; readonly broken: readonly string[] };
}

const DRAIN_MS = 90_000;
const PEOPLE = "people";
const CALM_MESSAGES = 15;
/** Answers before the first fault where a protection is off: a control run without its fault finds nothing in them. */
const CALM_FIRST = 300;
/** A timer is set, replaced or cancelled about every second by each tally, and is due before or after that. */
const TALLY_MS = 700;
const TIMER_MOST_MS = 15_000;
/** Slow enough to be caught in mid-stream. */
const SIMULATED = { ttftMs: 20, tokensPerSecond: 400, replyBytes: 200 };

export class FaultRun {
  readonly cluster: Cluster;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly points: Partial<Record<KillPoint, PointCount>> = {};
  readonly #options: FaultRunOptions;
  readonly #faults: Fault[] = [];
  readonly #load: Load;
  readonly #placement: PlacementStore;
  readonly #startedAt = Date.now();
  readonly #tallies: TallyLoad;
  #simulator: Simulator | undefined;
  #people: Bus | undefined;

  private constructor(options: FaultRunOptions, cluster: Cluster, recorder: Recorder, random: Random) {
    const { tenants = 4, sessions = 80, perSecond = 100 } = options;
    this.#options = options;
    this.cluster = cluster;
    this.recorder = recorder;
    this.random = random;
    this.#placement = new PlacementStore(cluster.bus);
    this.#load = new Load({
      bus: () => this.#people ?? cluster.bus,
      recorder,
      random: random.fork("load"),
      tenants,
      sessions,
      perSecond,
      // What is found where a protection is off must come from the fault, not from ordinary repeats.
      repeats: options.unsafe === undefined,
    });
    this.#tallies = new TallyLoad(cluster, {
      keys: options.tallies ?? 0,
      timers: { random: random.fork("tallies"), mostMs: TIMER_MOST_MS },
    });
  }

  /** Resolves when the cluster takes work and people have begun to write. */
  static async start(options: FaultRunOptions): Promise<FaultRun> {
    const simulator = options.simulator
      ? await startSimulator({ ...SIMULATED, seed: options.seed })
      : undefined;
    const pools = simulator ? { pools: simulatedPool(simulator.baseUrl) } : {};
    const cluster = await Cluster.start({
      spares: 2,
      ...(options.tallies ? { build: "old" } : {}),
      ...options,
      ...pools,
    });
    const recorder = new Recorder();
    const { bus, deployment } = cluster;
    const { effects = ALL_EFFECTS } = options;
    await observe({ bus, deployment, recorder, closedOf: closedTurnsOf, effects });
    const run = new FaultRun(options, cluster, recorder, randomOf(options.seed));
    run.#simulator = simulator;
    if (options.peopleOnLines)
      run.#people = await connectTo(cluster.nats.url, PEOPLE, createLog({ level: "fatal" }));
    run.#load.start();
    run.#tallies.start(TALLY_MS);
    const first = options.unsafe ? CALM_FIRST : 20;
    await waitUntil(() => recorder.answered > first, { timeoutMs: 120_000, what: "the first answers" });
    return run;
  }

  get calm(): boolean {
    return this.#options.calm === true;
  }

  /** Resolves when every partition has a living owner and hardly anybody waits. */
  async calmness(): Promise<void> {
    await this.ownedBy(
      () => this.cluster.members("conversation").filter((m) => m.joined),
      "a living owner of every partition",
    );
    const few = (): boolean => this.recorder.unanswered < CALM_MESSAGES;
    await waitUntil(few, { what: "a quiet moment" });
  }

  get timeIsUp(): boolean {
    return Date.now() - this.#startedAt > this.#options.limitMs;
  }

  get progress(): string {
    return `${this.recorder.answered} messages answered, ${this.recorder.unanswered} waiting`;
  }

  /** Where messages are while nothing is answered: for the error of a run that hangs. */
  async diagnosis(): Promise<string> {
    const { bus, deployment } = this.cluster;
    const records = this.recorder.events.filter(({ type }) => type === "record").length;
    const stored = await Promise.all(
      Array.from({ length: deployment.shards }, (_, s) => streamState(bus, turnsStream(s))),
    ).catch(() => []);
    const queues = await this.cluster.queues().catch(() => ({}));
    return JSON.stringify({ queues, records, turns: stored.map(({ lastSeq }) => lastSeq) });
  }

  say(line: string): void {
    this.#options.say?.(line);
  }

  /** The owner of each partition as the placement document names it now. */
  async owners(): Promise<readonly (string | undefined)[]> {
    return (await this.#placement.read()).partitions.map((p) => p.owner);
  }

  /** Resolves when every partition is owned by one of the members. */
  async ownedBy(members: () => readonly Member[], what: string): Promise<void> {
    await waitUntil(
      async () => {
        const names = new Set(members().map((m) => m.instance));
        return (await this.owners()).every((owner) => owner !== undefined && names.has(owner));
      },
      { timeoutMs: 120_000, what, pollMs: 50 },
    );
  }

  /** Notes a fault; the sessions of the hosts named are the ones it hit. */
  async note(what: string, hosts: readonly Member[] = []): Promise<void> {
    const at = Date.now();
    const names = new Set(hosts.map((m) => m.instance));
    const owners = names.size > 0 ? await this.owners() : [];
    const affected = (tenant: string, session: string): boolean =>
      names.has(owners[routeOf({ kind: CONVERSATION, tenant, key: session }).partition] ?? "");
    this.#faults.push({ at, what, ...(names.size > 0 ? { affected } : {}) });
  }

  /** The shard that keeps a session. */
  shardOf(tenant: string, session: string): number {
    return shardOfRoute(routeOf({ kind: CONVERSATION, tenant, key: session }), this.cluster.deployment);
  }

  /** Ends the load, waits for everything to be answered, and judges. The cluster is closed in any case. */
  async conclude(): Promise<Outcome> {
    try {
      await Promise.all([this.#load.stop(), this.#tallies.stop()]);
      const queues = await this.cluster.drained(this.#options.drainMs ?? DRAIN_MS);
      // The last records are stored before their questions leave the queue; the observer may be a moment behind.
      await waitUntil(() => this.recorder.unanswered === 0, {
        what: "the last answers",
      }).catch(() => {});
      for (const { job = "", endedAt = 0 } of this.#simulator
        ?.bill()
        .filter((line) => line.outcome === "finished") ?? [])
        this.recorder.add({ type: "billed", job, at: endedAt });
      this.recorder.add({ type: "settled", queues, at: Date.now() });
      const { events } = this.recorder;
      const verdict = checkHistory(events);
      const faults: Record<string, number> = {};
      for (const { what } of this.#faults) faults[what] = (faults[what] ?? 0) + 1;
      return {
        seed: this.#options.seed,
        verdict,
        figures: figuresOf(events, verdict, this.#faults, (tenant, session) => this.shardOf(tenant, session)),
        faults,
        points: this.points,
        seconds: Math.round((Date.now() - this.#startedAt) / 1_000),
        tallied: { acknowledged: this.#tallies.acknowledged, broken: await this.#tallies.judge() },
      };
    } finally {
      await this.close();
    }
  }

  /** What of the tallies does not hold by now; what is on its way to them counts as lost. */
  judgeTallies(): Promise<readonly string[]> {
    return this.#tallies.judge();
  }

  async close(): Promise<void> {
    await this.#people?.close();
    await this.cluster.close();
    await this.#simulator?.close();
    this.#simulator = undefined;
  }
}

function simulatedPool(baseUrl: string): Readonly<Record<string, PoolConfig>> {
  return {
    default: {
      models: [{ name: "simulated", provider: "openai", baseUrl, apiKey: "none", concurrency: 16 }],
      fallback: [],
    },
  };
}

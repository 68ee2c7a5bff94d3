/**
 * One host's part in placement: says that it lives, hears the others, writes the next document when somebody came or
 * went, and takes, hands over and drops partitions as the document says. The document decides; beats are only its input.
 */
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE } from "#contracts/subjects.ts";
import type { ActorHost } from "../actor/host.ts";
import { steadyNow as now } from "../clock.ts";
import { StaleRevision, type Subscription } from "../nats/connect.ts";
import { SupersededEpoch } from "../nats/partition-consumer.ts";
import { metrics } from "../observe/metrics.ts";
import { type Member, shares } from "./assign.ts";
import { type Assignment, type PlacementDocument, PlacementStore } from "./document.ts";
import { Handover } from "./handover.ts";
import { type HostBeat, Membership } from "./membership.ts";
import { planNext } from "./plan.ts";
import { Rates } from "./rates.ts";
import { WarnOnce } from "./warn-once.ts";

export interface PlacementOptions {
  readonly host: ActorHost;
  readonly instance: string;
  /** Share relative to other hosts. */
  readonly weight?: number;
  /** For fault tests: a host whose view of the document does not change any more. */
  readonly frozenView?: boolean;
}

/** How long a document rests before partitions are moved for balance. */
const ROUND_MS = 250;
/** How long a host waits for each one before it: to give partitions without a living owner, and to balance. */
const URGENT_PATIENCE_MS = 300;
const BALANCE_PATIENCE_MS = 3_000;
/** An announced move that its owner does not make within this time is made without it; a host that takes is waited for. */
const OVERDUE_MS = 5_000;
/**
 * Partitions taken at once. With several replicas the meta leader makes consumers one after the other, 31 ms each: more
 * at once would only make the busiest wait for the others.
 */
const TAKES_AT_ONCE = 16;
const TAKES_AT_ONCE_REPLICATED = 4;
const BEAT_MS = LIMITS.heartbeatMs / 2;

export class Placement {
  readonly #options: PlacementOptions;
  readonly #store: PlacementStore;
  readonly #membership: Membership;
  readonly #handover: Handover;
  readonly #rates: Rates;
  readonly #warn: WarnOnce;
  #document: PlacementDocument = { partitions: [], revision: 0 };
  /** When the document changed last. */
  #adoptedAt = 0;
  #draining = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #subscriptions: Subscription[] = [];
  #applying: Promise<void> | undefined;
  #planning: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  #lastTickAt = 0;
  #unbalancedSince: number | undefined;
  #empty: () => void = () => {};
  #standsBy = false;
  readonly #first = Promise.withResolvers<void>();
  /** Resolves when this host has been given its first partitions, or its share is none. */
  readonly ready = this.#first.promise;

  constructor(options: PlacementOptions) {
    const { host, instance } = options;
    this.#options = options;
    this.#store = new PlacementStore(host.bus);
    this.#membership = new Membership(instance, now);
    this.#rates = new Rates(now);
    this.#warn = new WarnOnce(host.log);
    this.#handover = new Handover({
      host,
      instance,
      store: this.#store,
      document: () => this.#document,
      adopt: (document) => this.#adopt(document),
      reread: () => this.#reread(),
      load: (partition) => this.#membership.loadOf(partition),
    });
  }

  get document(): PlacementDocument {
    return this.#document;
  }

  /** True where its share is no partition, as of the 65th of equals: it takes over when somebody is missed. */
  get standsBy(): boolean {
    return this.#standsBy;
  }

  async start(): Promise<void> {
    const { host } = this.#options;
    this.#lastTickAt = now();
    this.#subscriptions.push(
      host.bus.subscribe(CORE.heartbeat, ({ data }) => this.#heard(decode<HostBeat>(data))),
      await this.#store.watch((document) => this.#adopt(document)),
      host.bus.onDisconnect(() => this.#paused()),
      host.bus.onReconnect(() => this.#reconnected()),
    );
    this.#adopt(await this.#store.read());
    this.#tick();
    this.#timer = setInterval(() => this.#tick(), BEAT_MS);
  }

  /** Hands everything over, one partition after the other, each when it has finished what it holds. */
  async drain(): Promise<void> {
    if (this.#draining || this.#stopped) return;
    this.#draining = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#empty = resolve;
    this.#beat();
    this.#goOnDraining();
    await promise;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#beat(true);
    this.#handover.stop();
    this.#empty();
    for (const subscription of this.#subscriptions) subscription.stop();
  }

  get #weight(): number {
    return this.#draining ? 0 : (this.#options.weight ?? 1);
  }

  #beat(gone = false): void {
    const { host, instance } = this.#options;
    if (!host.bus.connected) return;
    const beat: HostBeat = {
      instance,
      weight: this.#weight,
      revision: this.#document.revision,
      load: this.#rates.of(host),
      held: host.partitions.length,
      ...(gone ? { gone } : {}),
    };
    host.bus.publish(CORE.heartbeat, encode(beat));
  }

  #heard(beat: HostBeat): void {
    if (this.#membership.hear(beat)) this.#plan();
    // A watch may be silent for seconds after a server was lost.
    if ((beat.revision ?? 0) > this.#document.revision) void this.#reread();
  }

  #tick(): void {
    // A process that was frozen may have lost anything meanwhile; its membership notices by itself.
    if (now() - this.#lastTickAt > LIMITS.suspectMs / 2) void this.#reread();
    this.#lastTickAt = now();
    this.#beat();
    this.#apply();
    if (this.#draining) this.#goOnDraining();
    else this.#plan();
  }

  /** The lowest live instance writes first; others follow when it does not, so that documents rarely collide. */
  #plan(): void {
    if (this.#draining || this.#stopped || this.#planning || this.#document.partitions.length === 0) return;
    const { instance } = this.#options;
    const { partitions, revision } = this.#document;
    const alone = partitions.every(({ owner }) => owner === undefined || owner === instance);
    if (!alone && !this.#membership.judges) return;
    const members = this.#membership.members(this.#weight);
    this.#standsBy = (shares(members).get(instance) ?? this.#weight) === 0;
    if (this.#standsBy) this.#first.resolve();
    const plan = this.#next(members);
    if (!plan) {
      this.#unbalancedSince = undefined;
      return;
    }
    const rank = members.filter((m) => m.weight > 0 && m.instance < instance).length;
    // Balance is the first one's work; when it does nothing, the next one's.
    this.#unbalancedSince ??= now();
    if (!plan.urgent && now() - this.#unbalancedSince < rank * BALANCE_PATIENCE_MS) return;
    this.#planning = this.#options.host.clock
      .sleep(plan.urgent ? rank * URGENT_PATIENCE_MS : ROUND_MS)
      // Written over a later document this would undo what another host planned meanwhile; the next tick plans anew.
      .then(() => (this.#document.revision === revision ? this.#write(plan.partitions) : undefined))
      .catch((err) => this.#options.host.log.warn({ err }, "placement not written"))
      .finally(() => {
        this.#planning = undefined;
      });
  }

  #next(members: readonly Member[]) {
    return planNext({
      partitions: this.#document.partitions,
      members,
      load: (partition) => this.#membership.loadOf(partition),
      held: (instance) =>
        instance === this.#options.instance
          ? this.#options.host.partitions.length
          : this.#membership.heldOf(instance),
      overdue: now() - this.#adoptedAt > OVERDUE_MS,
    });
  }

  /** A host that drains names its successors at once; others would do it a little later. */
  #goOnDraining(): void {
    if (this.#stopped || this.#planning) return;
    if (!this.#document.partitions.some(({ owner }) => owner === this.#options.instance))
      return this.#empty();
    const members = this.#membersOrOwners();
    if (!members.some((m) => m.weight > 0)) return this.#handover.run(true);
    const plan = this.#next(members);
    if (!plan) return this.#handover.run();
    this.#planning = this.#write(plan.partitions)
      .catch((err) => this.#warn.say("placement not written", { err }))
      .finally(() => {
        this.#planning = undefined;
        this.#handover.run();
      });
  }

  /** While this host cannot judge, whoever owns something counts as living, and is given nothing. */
  #membersOrOwners(): Member[] {
    const members = this.#membership.members(this.#weight);
    if (this.#membership.judges) return members;
    const known = new Set(members.map((m) => m.instance));
    const owners = new Set(this.#document.partitions.flatMap(({ owner }) => owner ?? []));
    const unheard = [...owners].filter((owner) => !known.has(owner));
    return [...members, ...unheard.map((instance) => ({ instance, weight: 1, steady: false }))];
  }

  async #write(partitions: readonly Assignment[]): Promise<void> {
    try {
      this.#adopt(await this.#store.write(this.#document.revision, partitions));
    } catch (error) {
      if (!(error instanceof StaleRevision)) throw error;
      await this.#reread();
    }
  }

  #reread(): Promise<void> {
    const { revision } = this.#document;
    this.#reading ??= this.#store
      .read()
      .then(
        // The leader has an older one than was known before it was asked: the store has lost its last writes.
        (document) => this.#adopt(document, revision),
        (err) => this.#warn.say("placement not read", { err }),
      )
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }

  /** @param insteadOf revision of the one that it replaces even where it is older */
  #adopt(document: PlacementDocument, insteadOf?: number): void {
    const { revision, partitions } = this.#document;
    const isNews = revision === insteadOf ? document.revision !== revision : document.revision > revision;
    if (this.#stopped || (this.#options.frozenView && revision > 0)) return;
    if (!isNews && partitions.length > 0) return;
    this.#document = document;
    this.#adoptedAt = now();
    // Losing is applied at once, gaining in turn: an old owner that goes on only wastes work.
    const { host } = this.#options;
    for (const partition of host.partitions)
      if (!this.#isMine(partition, host.epochOf(partition))) host.drop(partition);
    this.#apply();
    this.#handover.run();
    if (this.#draining) this.#goOnDraining();
  }

  #isMine(partition: number, epoch: number | undefined): boolean {
    const assigned = this.#document.partitions[partition];
    return !this.#stopped && assigned?.owner === this.#options.instance && assigned.epoch === epoch;
  }

  /** Takes what the document gives this host and it does not hold; at each tick too, so that a failed take is made good. */
  #apply(): void {
    if (this.#applying || this.#stopped || this.#draining) return;
    const { host } = this.#options;
    this.#applying = this.#takeAll()
      .catch((err) => host.log.error({ err }, "taking partitions failed"))
      .finally(() => {
        this.#applying = undefined;
        // The document may have changed while the last round was under way.
        if (this.#wanted().length > 0) setImmediate(() => this.#apply());
      });
  }

  /** The busiest first: with three replicas a take costs the cluster tens of milliseconds. */
  #wanted(): number[] {
    const { instance, host } = this.#options;
    return this.#document.partitions
      .flatMap(({ owner, epoch }, p) =>
        owner === instance && host.epochOf(p) !== epoch && !this.#handover.gives(p, epoch) ? [p] : [],
      )
      .sort((a, b) => this.#membership.loadOf(b) - this.#membership.loadOf(a));
  }

  async #takeAll(): Promise<void> {
    const { host } = this.#options;
    const [wanted, queue] = [this.#wanted(), this.#wanted()];
    const worker = async (): Promise<void> => {
      for (let p = queue.shift(); p !== undefined && !this.#stopped; p = queue.shift()) await this.#take(p);
    };
    const atOnce = host.deployment.replicas > 1 ? TAKES_AT_ONCE_REPLICATED : TAKES_AT_ONCE;
    await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker));
    if (host.partitions.length > 0) this.#first.resolve();
    // Who balances waits to hear it.
    if (wanted.length > 0 && !this.#stopped) this.#beat();
  }

  /** One attempt; the next tick makes another when it failed. */
  async #take(partition: number): Promise<void> {
    const { host } = this.#options;
    const assigned = this.#document.partitions[partition];
    if (!assigned || !this.#isMine(partition, assigned.epoch) || this.#draining) return;
    const { epoch, clean = false } = assigned;
    if (host.epochOf(partition) === epoch || this.#handover.gives(partition, epoch)) return;
    try {
      await host.take(partition, epoch, {
        clean,
        stillOwned: () => this.#owns(partition, epoch),
        onConsumerGone: () => void this.#recover(partition, epoch),
        onLost: (reason) => {
          host.log.warn({ partition, epoch, reason }, "partition lost");
          if (host.epochOf(partition) === epoch) host.drop(partition);
          void this.#reread();
        },
      });
    } catch (error) {
      if (error instanceof SupersededEpoch) return this.#superseded(partition, epoch, error.epoch);
      if (this.#stopped) return;
      this.#warn.say("partition not taken yet, trying again", { err: error, partition, epoch });
      return host.clock.sleep(100);
    }
    metrics.takeovers({});
    // The document may have moved on while the consumer was made, or this host has stopped.
    if (!this.#isMine(partition, epoch) || this.#handover.gives(partition, epoch)) host.drop(partition);
  }

  /**
   * A consumer of a later epoch is there. Mostly the document names its owner; where it does not, the document is one that
   * was lost and begun anew, and without a later epoch nobody could ever take the partition.
   */
  async #superseded(partition: number, epoch: number, later: number): Promise<void> {
    await this.#reread();
    if (this.#options.frozenView || !this.#isMine(partition, epoch)) return;
    this.#warn.say("consumers of later epochs than the document knows, passing them", { partition, later });
    const { partitions } = this.#document;
    await this.#write(partitions.map((a, p) => (p === partition ? { ...a, epoch: later + 1 } : a))).catch(
      (err) => this.#warn.say("placement not written", { err }),
    );
  }

  /** From the loss of the connection on nothing is processed: an earlier message may have been lost on the way. */
  #paused(): void {
    if (!this.#options.frozenView) for (const p of this.#options.host.partitions) this.#options.host.pause(p);
  }

  /**
   * What the server had sent into the lost connection is pending until its ack wait ends, and later messages would
   * overtake it. Each consumer tells whether it has delivered more than came in; only such partitions are taken anew,
   * which brings in order whatever is not acked.
   */
  #reconnected(): void {
    const { host, frozenView } = this.#options;
    void this.#reread().then(() => this.#apply());
    // Each by itself: one whose consumer has no leader yet holds up nobody.
    if (!frozenView)
      for (const partition of host.partitions)
        void host.goOn(partition).then((kept) => {
          if (kept) return;
          host.drop(partition);
          this.#apply();
        });
  }

  async #owns(partition: number, epoch: number): Promise<boolean> {
    const assigned = (await this.#store.read()).partitions[partition];
    return assigned?.owner === this.#options.instance && assigned.epoch === epoch;
  }

  /** The consumer vanished: another host deleted it, or somebody did by mistake. The document tells which. */
  async #recover(partition: number, epoch: number): Promise<void> {
    const { host } = this.#options;
    if (host.unsafe.ignoreLosses && !host.unsafe.sharesConsumers) return;
    host.drop(partition);
    if (this.#options.frozenView || this.#stopped) return;
    await this.#reread();
    if (!this.#isMine(partition, epoch)) return;
    this.#warn.say("consumer gone, making it again");
    this.#apply();
  }
}

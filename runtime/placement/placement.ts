/**
 * One host's part in placement: says that it lives, watches the others, writes the next document when somebody came or
 * went, and takes and drops partitions as the document says. The document decides; beats are only its input.
 */
import { decode, encode } from "#contracts/codec.ts";
import { LIMITS } from "#contracts/limits.ts";
import { CORE } from "#contracts/subjects.ts";
import type { ActorHost } from "../actor/host.ts";
import { StaleRevision, type Subscription } from "../nats/connect.ts";
import { SupersededEpoch } from "../nats/partition-consumer.ts";
import { metrics } from "../observe/metrics.ts";
import { assign, type Member } from "./assign.ts";
import { type PlacementDocument, PlacementStore } from "./document.ts";

interface HostBeat {
  readonly instance: string;
  readonly weight: number;
  readonly gone?: boolean;
}

export interface PlacementOptions {
  readonly host: ActorHost;
  readonly instance: string;
  /** Share relative to other hosts. */
  readonly weight?: number;
  /** For fault tests: a host whose view of the document does not change any more. */
  readonly frozenView?: boolean;
}

/** Partitions moved for balance in one document, and how long a document rests before the next such move. */
const MOVES_A_ROUND = 8;
const ROUND_MS = 250;
/** How long a host waits for each one before it to balance. */
const BALANCE_PATIENCE_MS = 3_000;
/** Partitions taken at once: the meta leader serialises consumer changes anyway. */
const TAKES_AT_ONCE = 16;
/** The same warning for several partitions within this time is one. */
const TOLD_TOGETHER_MS = 500;

export class Placement {
  readonly #options: PlacementOptions;
  readonly #store: PlacementStore;
  readonly #seen = new Map<string, { weight: number; at: number }>();
  #document: PlacementDocument = { partitions: [], revision: 0 };
  #draining = false;
  #drained = false;
  #stopped = false;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #subscription: Subscription | undefined;
  #watch: { stop(): void } | undefined;
  #reconnects: Subscription | undefined;
  #applying: Promise<void> | undefined;
  #planning: Promise<void> | undefined;
  #lastTickAt = 0;
  readonly #warned = new Map<string, number>();
  #unbalancedSince: number | undefined;
  #ready: () => void = () => {};
  /** Resolves when this host has been given its first partitions. */
  readonly ready: Promise<void>;

  constructor(options: PlacementOptions) {
    this.#options = options;
    this.#store = new PlacementStore(options.host.bus);
    this.ready = new Promise((resolve) => {
      this.#ready = resolve;
    });
  }

  get document(): PlacementDocument {
    return this.#document;
  }

  async start(): Promise<void> {
    const { host } = this.#options;
    this.#startedAt = host.clock.now();
    this.#lastTickAt = this.#startedAt;
    this.#subscription = host.bus.subscribe(CORE.heartbeat, ({ data }) =>
      this.#heard(decode<HostBeat>(data)),
    );
    this.#watch = await this.#store.watch((document) => this.#adopt(document));
    this.#adopt(await this.#store.read());
    this.#tick();
    this.#timer = setInterval(() => this.#tick(), LIMITS.heartbeatMs / 2);
    this.#reconnects = host.bus.onReconnect(() => void this.#retake());
  }

  /** Hands everything over: finishes what is held, then names other owners. */
  async drain(): Promise<void> {
    const { host, instance } = this.#options;
    this.#draining = true;
    // It stays a full member until its mailboxes are finished: others would take the partitions from under it.
    await host.drain();
    const others = this.#members().filter((m) => m.instance !== instance);
    for (let tried = 0; tried < 10; tried++) {
      const document = await this.#store.read();
      const owners = document.partitions.map((a) => a.owner);
      const next =
        others.length > 0 ? assign(owners, others, 0) : owners.map((o) => (o === instance ? undefined : o));
      try {
        this.#drained = true;
        this.#beat();
        this.#adopt(await this.#store.write(document, next));
        return;
      } catch (error) {
        if (!(error instanceof StaleRevision)) throw error;
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#beat(true);
    this.#watch?.stop();
    this.#reconnects?.stop();
    this.#subscription?.stop();
  }

  #beat(gone = false): void {
    const { host, instance, weight = 1 } = this.#options;
    if (host.bus.connected)
      host.bus.publish(
        CORE.heartbeat,
        encode({
          instance,
          weight: this.#drained ? 0 : weight,
          ...(gone ? { gone } : {}),
        } satisfies HostBeat),
      );
  }

  #heard(beat: HostBeat): void {
    const known = this.#seen.get(beat.instance);
    if (beat.gone) this.#seen.delete(beat.instance);
    else this.#seen.set(beat.instance, { weight: beat.weight, at: this.#options.host.clock.now() });
    if (beat.gone || known?.weight !== beat.weight) this.#plan();
  }

  /** Who lives: heard lately, and this host itself. */
  #members(): Member[] {
    const { host, instance, weight = 1 } = this.#options;
    const oldest = host.clock.now() - LIMITS.suspectMs;
    for (const [other, { at }] of this.#seen) if (at < oldest) this.#seen.delete(other);
    this.#seen.set(instance, { weight: this.#drained ? 0 : weight, at: host.clock.now() });
    return [...this.#seen].map(([id, seen]) => ({ instance: id, weight: seen.weight }));
  }

  #tick(): void {
    const now = this.#options.host.clock.now();
    // A process that was frozen knows nothing of the others: it listens again before it judges.
    if (now - this.#lastTickAt > LIMITS.suspectMs / 2) {
      this.#startedAt = now;
      this.#seen.clear();
      void this.#reread();
    }
    this.#lastTickAt = now;
    this.#beat();
    this.#apply();
    this.#plan();
  }

  /** The lowest live instance writes first; others follow when it does not, so that documents rarely collide. */
  #plan(): void {
    if (this.#draining || this.#stopped || this.#planning || this.#document.partitions.length === 0) return;
    const now = this.#options.host.clock.now();
    const members = this.#members();
    const owners = this.#document.partitions.map((a) => a.owner);
    const first = owners.every((o) => o === undefined || o === this.#options.instance);
    if (!first && now - this.#startedAt < LIMITS.suspectMs) return;
    const rank = members.filter((m) => m.weight > 0 && m.instance < this.#options.instance).length;
    const orphaned = owners.some((o) => o === undefined || !members.some((m) => m.instance === o));
    const next = assign(owners, members, orphaned ? 0 : MOVES_A_ROUND);
    if (next.every((owner, p) => owner === owners[p])) {
      this.#unbalancedSince = undefined;
      return;
    }
    // Balance is the first one's work; when it does nothing, the next one's.
    this.#unbalancedSince ??= now;
    if (!orphaned && now - this.#unbalancedSince < rank * BALANCE_PATIENCE_MS) return;
    const waitMs = orphaned ? rank * 300 : ROUND_MS;
    const { revision } = this.#document;
    this.#planning = this.#options.host.clock
      .sleep(waitMs)
      // Written over a later document this would undo what another host planned meanwhile; the next tick plans anew.
      .then(() => (this.#document.revision === revision ? this.#write(next) : undefined))
      .catch((err) => this.#options.host.log.warn({ err }, "placement not written"))
      .finally(() => {
        this.#planning = undefined;
      });
  }

  async #write(planned: readonly (string | undefined)[]): Promise<void> {
    const before = this.#document;
    try {
      this.#adopt(await this.#store.write(before, planned));
    } catch (error) {
      if (!(error instanceof StaleRevision)) throw error;
      await this.#reread();
    }
  }

  async #reread(): Promise<void> {
    try {
      this.#adopt(await this.#store.read());
    } catch (err) {
      this.#warn("placement not read", { err });
    }
  }

  #adopt(document: PlacementDocument): void {
    if (this.#stopped || document.revision < this.#document.revision) return;
    if (this.#options.frozenView && this.#document.revision > 0) return;
    const changed = document.revision > this.#document.revision || this.#document.partitions.length === 0;
    this.#document = document;
    if (!changed) return;
    // Losing is applied at once, gaining in turn: an old owner that goes on only wastes work.
    const { host, instance } = this.#options;
    for (const partition of host.partitions) {
      const assigned = document.partitions[partition];
      if (assigned?.owner !== instance || assigned.epoch !== host.epochOf(partition)) host.drop(partition);
    }
    this.#apply();
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

  #wanted(): number[] {
    const { instance, host } = this.#options;
    return this.#document.partitions.flatMap((a, p) =>
      a.owner === instance && host.epochOf(p) !== a.epoch ? [p] : [],
    );
  }

  async #takeAll(): Promise<void> {
    const { host } = this.#options;
    const queue = this.#wanted();
    const worker = async (): Promise<void> => {
      for (let p = queue.shift(); p !== undefined && !this.#stopped; p = queue.shift()) await this.#take(p);
    };
    await Promise.all(Array.from({ length: Math.min(TAKES_AT_ONCE, queue.length) }, worker));
    if (host.partitions.length > 0) this.#ready();
  }

  /** One attempt; the next tick makes another when it failed. */
  async #take(partition: number): Promise<void> {
    const { host, instance } = this.#options;
    const assigned = this.#document.partitions[partition];
    if (assigned?.owner !== instance || host.epochOf(partition) === assigned.epoch || this.#draining) return;
    const { epoch } = assigned;
    try {
      await host.take(partition, epoch, {
        stillOwned: () => this.#owns(partition, epoch),
        onConsumerGone: () => void this.#recover(partition, epoch),
        onLost: (reason) => {
          host.log.warn({ partition, epoch, reason }, "partition lost");
          if (host.epochOf(partition) === epoch) host.drop(partition);
          void this.#reread();
        },
      });
    } catch (error) {
      if (error instanceof SupersededEpoch) return this.#reread();
      if (this.#stopped) return;
      this.#warn("partition not taken yet, trying again", { err: error, partition, epoch });
      return host.clock.sleep(100);
    }
    metrics.takeovers({});
    // The document may have moved on while the consumer was made.
    const now = this.#document.partitions[partition];
    if (now?.owner !== instance || now.epoch !== epoch) host.drop(partition);
  }

  /**
   * What the server had sent into the lost connection is pending until its ack wait ends, later messages would overtake
   * it, and a server with one replica has forgotten its consumers. Every partition is taken anew, which brings in order
   * whatever is not acked.
   */
  async #retake(): Promise<void> {
    const { host } = this.#options;
    if (!this.#draining && !this.#options.frozenView)
      for (const partition of host.partitions) host.drop(partition);
    await this.#reread();
    this.#apply();
  }

  async #owns(partition: number, epoch: number): Promise<boolean> {
    const assigned = (await this.#store.read()).partitions[partition];
    return assigned?.owner === this.#options.instance && assigned.epoch === epoch;
  }

  /** What a server's restart does to all partitions at once is one line, with how often it was. */
  #warn(message: string, fields: object = {}): void {
    const times = this.#warned.get(message) ?? 0;
    this.#warned.set(message, times + 1);
    if (times > 0) return;
    setTimeout(() => {
      this.#options.host.log.warn({ ...fields, times: this.#warned.get(message) }, message);
      this.#warned.delete(message);
    }, TOLD_TOGETHER_MS).unref();
  }

  /** The consumer vanished: another host deleted it, or somebody did by mistake. The document tells which. */
  async #recover(partition: number, epoch: number): Promise<void> {
    const { host } = this.#options;
    host.drop(partition);
    if (this.#options.frozenView || this.#stopped) return;
    await this.#reread();
    const assigned = this.#document.partitions[partition];
    if (assigned?.owner === this.#options.instance && assigned.epoch === epoch) {
      this.#warn("consumer gone, making it again");
      this.#apply();
    }
  }
}

/**
 * A process that owns partitions: its activations, its residency cap, its partitions. Who owns what is decided by
 * `runtime/placement`; this file takes, drops and drains what it is told.
 */

import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import { actorsBucket, inboundFilter, inboundStream, partitionConsumer } from "#contracts/subjects.ts";
import type { Clock } from "../clock.ts";
import type { Bus } from "../nats/connect.ts";
import { Kv } from "../nats/kv.ts";
import { deleteConsumer, replaceConsumer, someEpoch } from "../nats/partition-consumer.ts";
import { Puller } from "../nats/pull.ts";
import type { Deployment } from "../nats/topology.ts";
import { killPoint } from "../observe/kill-point.ts";
import type { Log } from "../observe/log.ts";
import { gauge } from "../observe/metrics.ts";
import { within } from "../within.ts";
import type { Activation } from "./activation.ts";
import type { ActorKind } from "./define.ts";
import { OwnedPartition, PULL_MS } from "./partition.ts";

/** Protections that a control run switches off, to prove that the checker finds what they prevent. */
export interface Unsafe {
  readonly ignoreRing?: boolean;
  readonly dropOutbox?: boolean;
  readonly ignoreFence?: boolean;
  readonly ignoreAttempts?: boolean;
  readonly ignorePauses?: boolean;
  /** Pulls from whatever consumer a partition has, beside its owner, instead of replacing it. */
  readonly sharesConsumers?: boolean;
  /** State is read from any replica. */
  readonly staleReads?: boolean;
  /** Deliveries and acks that went missing are left to their ack wait, consumers that are gone stay gone. */
  readonly ignoreLosses?: boolean;
  /** Clients stay on a node that is cut off. */
  readonly stayIsolated?: boolean;
}

/** What partitions and activations see of their host. */
export interface HostContext {
  readonly bus: Bus;
  readonly log: Log;
  readonly clock: Clock;
  readonly deployment: Deployment;
  readonly puller: Puller;
  readonly kinds: ReadonlyMap<string, ActorKind>;
  readonly unsafe: Unsafe;
  /** Names this host in what is kept of attempts. */
  readonly instance: string;
  kvOf(shard: number): Kv;
  /** A fresh operation id for one commit. */
  nextOperation(): string;
  /** Runs suspect messages one at a time on this host. */
  suspects<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** An activation was made. */
  created(): void;
  /** An activation is gone. */
  closed(activation: Activation): void;
  /** The activation works: it is not idle. */
  touch(activation: Activation): void;
  /** The activation may be passivated by `passivate`. */
  idle(activation: Activation, passivate: () => boolean): void;
}

export interface HostOptions {
  readonly bus: Bus;
  readonly log: Log;
  readonly clock: Clock;
  readonly deployment: Deployment;
  readonly kinds: readonly ActorKind[];
  readonly instance: string;
  /** Activations kept in memory; idle ones beyond it are passivated, the longest idle first. */
  readonly residency?: number | undefined;
  /** How long an actor is idle before what its next activation would have to gather is kept. */
  readonly restMs?: number | undefined;
  readonly unsafe?: Unsafe;
}

const DEFAULT_RESIDENCY = 20_000;
/** Actors that rest at once: what they write is in nobody's way. Of those that must leave, more go without. */
const RESTING_MOST = 64;
const REST_EVERY_MS = 1_000;
/** How long a handover waits for the old consumer to be deleted. */
const COURTESY_MS = 500;

export class ActorHost implements HostContext {
  readonly bus: Bus;
  readonly log: Log;
  readonly clock: Clock;
  readonly deployment: Deployment;
  readonly puller: Puller;
  readonly kinds: ReadonlyMap<string, ActorKind>;
  readonly unsafe: Unsafe;
  readonly instance: string;
  readonly #residency: number;
  readonly #kvs: Kv[];
  readonly #partitions = new Map<number, OwnedPartition>();
  /** What was suspect when a partition was first taken at its epoch, and when its consumer was set back last. */
  readonly #taken = new Map<number, { epoch: number; suspectUpTo: number; setBackAt: number }>();
  /** Idle activations, the longest idle first. */
  readonly #idle = new Map<Activation, () => boolean>();
  /** Those of them that have something to keep, and since when they are idle, by a clock that only goes forward. */
  readonly #unkept = new Map<Activation, number>();
  /** To be passivated when they have kept it. */
  readonly #leaving = new Set<Activation>();
  readonly #restMs: number;
  readonly #resting: NodeJS.Timeout;
  #isResting = false;
  #resident = 0;
  #operations = 0;
  #suspects: Promise<unknown> = Promise.resolve();
  readonly #removeGauges: (() => void)[];

  constructor(options: HostOptions) {
    this.bus = options.bus;
    this.log = options.log;
    this.clock = options.clock;
    this.deployment = options.deployment;
    this.unsafe = options.unsafe ?? {};
    this.puller = new Puller(options.bus, { ignorePauses: this.unsafe.ignorePauses === true });
    this.kinds = new Map(options.kinds.map((kind) => [kind.kind, kind]));
    this.instance = options.instance;
    this.#residency = options.residency ?? DEFAULT_RESIDENCY;
    this.#kvs = Array.from(
      { length: options.deployment.shards },
      (_, s) => new Kv(options.bus, actorsBucket(s)),
    );
    this.#restMs = options.restMs ?? LIMITS.restMs;
    this.#resting = setInterval(() => void this.#rest(), Math.min(REST_EVERY_MS, this.#restMs)).unref();
    this.#removeGauges = [
      gauge("host_partitions", "partitions owned", () => [{ value: this.#partitions.size }]),
      gauge("host_resident", "activations in memory", () => [{ value: this.resident }]),
      gauge("host_held", "messages in memory", () => [{ value: this.held }]),
    ];
  }

  get partitions(): number[] {
    return [...this.#partitions.keys()];
  }

  /** Activations in memory. */
  get resident(): number {
    return this.#resident;
  }

  /** Messages delivered and not yet acked. */
  get held(): number {
    let held = 0;
    for (const partition of this.#partitions.values()) held += partition.held;
    return held;
  }

  epochOf(partition: number): number | undefined {
    return this.#partitions.get(partition)?.epoch;
  }

  /** Messages delivered to a partition since it was taken. */
  receivedOf(partition: number): number {
    return this.#partitions.get(partition)?.received ?? 0;
  }

  kvOf(shard: number): Kv {
    return this.#kvs[shard] as Kv;
  }

  nextOperation(): string {
    return `${this.instance}.${(++this.#operations).toString(36)}`;
  }

  suspects<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const next = this.#suspects.then(work);
    // A handler that does not end with its ownership must not keep the place of all that come after it.
    this.#suspects = Promise.race([next, endOf(signal)]).catch(() => {});
    return next;
  }

  created(): void {
    this.#resident++;
  }

  touch(activation: Activation): void {
    this.#idle.delete(activation);
    this.#unkept.delete(activation);
    this.#leaving.delete(activation);
  }

  closed(activation: Activation): void {
    this.#resident--;
    this.touch(activation);
  }

  idle(activation: Activation, passivate: () => boolean): void {
    if (this.#leaving.delete(activation)) return void passivate();
    this.#idle.delete(activation);
    this.#idle.set(activation, passivate);
    if (activation.isUnkept) this.#unkept.set(activation, performance.now());
    while (this.#resident - this.#leaving.size > this.#residency && this.#idle.size > 0) {
      const [oldest, close] = this.#idle.entries().next().value as [Activation, () => boolean];
      this.touch(oldest);
      if (oldest.isUnkept && this.#leaving.size < RESTING_MOST) {
        this.#leaving.add(oldest);
        void oldest.rest();
      } else close();
    }
  }

  /** A host that dies leaves little to be gathered: what is idle for a while has kept what it had. */
  async #rest(): Promise<void> {
    if (this.#isResting) return;
    this.#isResting = true;
    const until = performance.now() - this.#restMs;
    try {
      for (let due = RESTING_MOST; due === RESTING_MOST; ) {
        const idle = [...this.#unkept].slice(0, RESTING_MOST).filter(([, since]) => since <= until);
        due = idle.length;
        for (const [activation] of idle) this.#unkept.delete(activation);
        await Promise.all(idle.map(([activation]) => activation.rest()));
      }
    } finally {
      this.#isResting = false;
    }
  }

  /**
   * Becomes the owner of a partition at an epoch: the consumers of lower epochs are deleted, which voids the acks of
   * their owners, and this epoch's is made.
   * @throws JetclawError `nats.unavailable`; SupersededEpoch when a higher epoch exists
   */
  async take(
    partition: number,
    epoch: number,
    ownership: {
      /** The owner before gave it away by itself, with nothing unfinished. */
      clean?: boolean;
      stillOwned: () => Promise<boolean>;
      onConsumerGone: () => void;
      onLost: (reason: string) => void;
    },
  ): Promise<void> {
    const stream = inboundStream(shardOf(partition, this.deployment.shards));
    const paused = killPoint("host.midTakeover");
    if (paused) await paused;
    const { clean = false, ...callbacks } = ownership;
    const before = this.#taken.get(partition);
    const again = before?.epoch === epoch;
    // Set back already, and something went missing again: requests from before go to where nobody hears, on a server that
    // does not know it yet. A new consumer has none.
    const setBack = again && this.clock.now() - before.setBackAt > PULL_MS;
    const prefix = `p${partition}-e`;
    const shared = this.unsafe.sharesConsumers ? await someEpoch(this.bus, stream, prefix) : undefined;
    const { deliveredUpTo } = shared
      ? { deliveredUpTo: 0 }
      : await replaceConsumer(this.bus, {
          stream,
          name: partitionConsumer(partition, epoch),
          prefix,
          epoch,
          filter: inboundFilter(partition),
          clean: clean && !again,
          setBack,
        });
    this.#partitions.get(partition)?.stop();
    // Taken again at its epoch, after a reconnect: what this process was given meanwhile has killed nobody.
    const suspectUpTo = again ? before.suspectUpTo : clean ? 0 : deliveredUpTo;
    this.#taken.set(partition, { epoch, suspectUpTo, setBackAt: setBack ? this.clock.now() : 0 });
    const owned = new OwnedPartition({
      host: this,
      partition,
      epoch,
      consumer: shared ?? partitionConsumer(partition, epoch),
      suspectUpTo,
      ...callbacks,
    });
    this.#partitions.set(partition, owned);
    owned.start();
  }

  /** Ownership ended, or the partition is to be taken anew: stop at once. */
  drop(partition: number): void {
    this.#partitions.get(partition)?.stop();
    this.#partitions.delete(partition);
  }

  /**
   * Ends ownership in peace: takes nothing any more, finishes what is held, for so long at most, and leaves no consumer.
   * @returns true when nothing that was suspect is left behind
   */
  async release(partition: number, patienceMs: number): Promise<boolean> {
    const owned = this.#partitions.get(partition);
    if (!owned) return true;
    await within(owned.drain(), patienceMs);
    const clean = owned.isClean;
    if (this.#partitions.get(partition) === owned) this.drop(partition);
    const stream = inboundStream(shardOf(partition, this.deployment.shards));
    // A courtesy that spares the next owner two round trips; it would delete it too.
    await within(
      deleteConsumer(this.bus, stream, partitionConsumer(partition, owned.epoch)).catch(() => {}),
      COURTESY_MS,
    );
    return clean;
  }

  /** The connection is lost: what comes from now on waits until it is known that nothing before it is missing. */
  pause(partition: number): void {
    this.#partitions.get(partition)?.pause();
  }

  /** The connection is back. @returns false when deliveries were lost with it: the partition must be taken anew */
  async goOn(partition: number): Promise<boolean> {
    return (await this.#partitions.get(partition)?.goOn()) ?? true;
  }

  close(): void {
    for (const partition of [...this.#partitions.keys()]) this.drop(partition);
    clearInterval(this.#resting);
    this.puller.close();
    for (const remove of this.#removeGauges) remove();
  }
}

function endOf(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

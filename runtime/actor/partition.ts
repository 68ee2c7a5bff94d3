/** One owned partition: pulls its messages under the epoch's consumer and hands them to activations. */
import { decodeEnvelope, type Envelope } from "#contracts/envelope.ts";
import { shardOf } from "#contracts/ids.ts";
import { LIMITS } from "#contracts/limits.ts";
import {
  type ActorRoute,
  inboundStream,
  inboundSubject,
  parseInbound,
  routeOf,
} from "#contracts/subjects.ts";
import { deliveriesOf } from "../nats/partition-consumer.ts";
import type { PullChannel, PullEnd, Pulled } from "../nats/pull.ts";
import { Activation } from "./activation.ts";
import type { Owned } from "./commit.ts";
import { deadBytes, deadStranger } from "./dead-letter.ts";
import type { HostContext } from "./host.ts";
import { bytesOf, type Delivery } from "./mailbox.ts";
import { retrying } from "./retrying.ts";

/** The server knows a request for so long, also one whose asker it can no longer reach. */
export const PULL_MS = 30_000;
const BATCH = 256;
/** Of a batch, and more than any message has: a server that had to hold more for a slow line would end its connection. */
const BATCH_BYTES = 2 * LIMITS.payloadBytes;
/** How long after a request that failed the next one is made. */
const AGAIN_MS = 250;
/** Acks under way when the consumer was asked for its counts; so often they are waited for. */
const COUNTS_TRIES = 4;
const COUNTS_WAIT_MS = 50;
/** A partition is looked through for what went missing this often, more or less by half. */
const LOOK_MS = 10_000;
/** What is missing may be on its way: it is looked for again after so long. */
const LOOK_AGAIN_MS = 1_000;

export interface PartitionOptions {
  readonly host: HostContext;
  readonly partition: number;
  readonly epoch: number;
  /** Its name carries the epoch. */
  readonly consumer: string;
  /** Messages up to this sequence had been delivered to the owner before: they may be what killed it. */
  readonly suspectUpTo: number;
  readonly stillOwned: () => Promise<boolean>;
  /** The consumer vanished: the placement decides what that means. */
  readonly onConsumerGone: () => void;
  readonly onLost: (reason: string) => void;
}

export class OwnedPartition {
  readonly partition: number;
  readonly epoch: number;
  readonly #options: PartitionOptions;
  readonly #stream: string;
  readonly #abort = new AbortController();
  readonly #drain = new AbortController();
  readonly #activations = new Map<string, Activation>();
  readonly #owned: Owned;
  #held = 0;
  #heldBytes = 0;
  #asked = 0;
  readonly #channel: PullChannel;
  #drained: (() => void) | undefined;
  /** What came since the connection was lost; undefined while it stands. */
  #waiting: Pulled[] | undefined;
  /** Losses of the connection, and looks at what was lost with it: only the latest look may decide. */
  #looks = 0;
  #nextLook: NodeJS.Timeout | undefined;

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.partition = options.partition;
    this.epoch = options.epoch;
    this.#stream = inboundStream(shardOf(options.partition, options.host.deployment.shards));
    this.#channel = options.host.puller.channel(
      this.#stream,
      options.consumer,
      // Given back it would be overtaken by what comes next, and its session would be out of order.
      (message) => this.#onMessage(message),
    );
    this.#owned = {
      signal: this.#abort.signal,
      draining: this.#drain.signal,
      stillOwned: options.stillOwned,
      lost: options.onLost,
    };
  }

  /** Messages held in memory. */
  get held(): number {
    return this.#held;
  }

  /** Deliveries since it was taken. */
  get received(): number {
    return this.#channel.received;
  }

  /** Nothing is left that was pending when it was taken: all of it has been finished. */
  get isClean(): boolean {
    return this.#options.suspectUpTo === 0 || this.#channel.unacked === 0;
  }

  start(): void {
    this.#pull();
    this.#lookLater();
  }

  /** The connection is lost. */
  pause(): void {
    this.#looks++;
    this.#waiting ??= [];
  }

  /**
   * The connection is back. The consumer's own counts tell whether a delivery, or an ack, went down with the old one; while
   * it has no leader that answers, it delivers nothing either, and is asked again.
   * @returns false when one did, or the consumer is gone; true also when there is nothing to decide any more
   */
  async goOn(): Promise<boolean> {
    if (this.#drain.signal.aborted) return true;
    const { host } = this.#options;
    const look = ++this.#looks;
    // Ownership may end, and the connection may be lost again and looked through anew, while the counts are waited for.
    const isOver = (): boolean => this.#abort.signal.aborted || look !== this.#looks;
    this.#waiting ??= [];
    this.#channel.forget();
    if (host.unsafe.ignoreLosses) return this.#resume();
    for (let tried = 0; tried < COUNTS_TRIES; ) {
      const counts = await this.#counts();
      if (!counts || isOver()) break;
      if (counts !== "unknown") {
        // Paused meanwhile: taking it anew makes it go on.
        if (counts.paused) break;
        if (counts.delivered === this.#channel.received && counts.unacked === this.#channel.unacked)
          return this.#resume();
        tried++;
      }
      await host.clock.sleep(COUNTS_WAIT_MS);
    }
    return isOver();
  }

  /** Undefined where the consumer is gone. */
  #counts() {
    const { host, consumer } = this.#options;
    return deliveriesOf(host.bus, this.#stream, consumer).catch(() => "unknown" as const);
  }

  #resume(): true {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const message of waiting) this.#receive(message);
    this.#asked = 0;
    this.#pull();
    return true;
  }

  /** A single server loses nothing while the connection stands. */
  #lookLater(): void {
    const { deployment, unsafe, clock } = this.#options.host;
    if (deployment.replicas === 1 || unsafe.ignoreLosses || this.#drain.signal.aborted) return;
    clearTimeout(this.#nextLook);
    this.#nextLook = setTimeout(
      () => void this.#look().finally(() => this.#lookLater()),
      LOOK_MS * (0.5 + clock.random()),
    );
  }

  /**
   * Between nodes messages are lost with a route, which no client notices, and so is what a consumer's leader had counted
   * as delivered when it died. What the consumer counts tells: it has delivered more than came in, or misses acks that
   * were sent before it was asked. Both would come again only after the ack wait.
   */
  async #look(): Promise<void> {
    const { host, onLost } = this.#options;
    for (let tried = 0; tried < COUNTS_TRIES; tried++) {
      const { acked } = this.#channel;
      const counts = await this.#counts();
      if (!counts || counts === "unknown" || this.#waiting || this.#drain.signal.aborted) return;
      const { delivered, unacked } = counts;
      if (delivered <= this.#channel.received && delivered - unacked >= acked) return;
      await host.clock.sleep(LOOK_AGAIN_MS, this.#drain.signal).catch(() => {});
    }
    if (!this.#drain.signal.aborted) onLost("messages or acks were lost between nodes");
  }

  /** Ownership ended: stop at once, write nothing, ack nothing. */
  stop(): void {
    // At once: given back, what is under way would be overtaken by what a new request brings.
    this.#channel.close(true);
    clearTimeout(this.#nextLook);
    const reason = new Error("the partition is no longer owned");
    this.#abort.abort(reason);
    this.#drain.abort(reason);
    for (const activation of this.#activations.values()) {
      if (activation.isIdle) activation.close("closed");
      this.#options.host.closed(activation);
    }
    this.#activations.clear();
    this.#drained?.();
  }

  /** Stops taking and resolves when what is being handled is finished; what only waits is left to the next owner. */
  async drain(): Promise<void> {
    this.#drain.abort(new Error("the partition is handed over"));
    // At once: what is sent from now on stays pending, and the next owner gets it in order.
    this.#channel.close(true);
    this.#asked = 0;
    if (this.#held > 0 && !this.#abort.signal.aborted)
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
  }

  #pull(): void {
    if (this.#drain.signal.aborted || this.#asked > 0 || this.#heldBytes >= LIMITS.partitionBytes) return;
    const parked = this.#channel.unacked - this.#held;
    const batch = Math.min(BATCH, LIMITS.partitionInFlight - this.#held, LIMITS.partitionParked - parked);
    if (batch <= 0) return;
    this.#asked = batch;
    this.#channel.request({
      batch,
      maxBytes: BATCH_BYTES,
      expiresMs: PULL_MS,
      onMessage: (message) => this.#onMessage(message),
      onEnd: (end) => this.#ended(end),
    });
  }

  #ended(end: PullEnd): void {
    this.#asked = 0;
    // While the connection is gone an end says nothing, and when it is back all is asked anew.
    if (this.#abort.signal.aborted || this.#waiting) return;
    if (end === "consumer-gone") void this.#pullUnlessGone();
    else if (end === "broken" || end === "limit") setTimeout(() => this.#pull(), AGAIN_MS);
    else this.#pull();
  }

  /** While a consumer has no leader nobody answers for it, as if it were gone. */
  async #pullUnlessGone(): Promise<void> {
    const counts = await this.#counts();
    if (this.#abort.signal.aborted || this.#waiting) return;
    if (!counts) this.#options.onConsumerGone();
    else setTimeout(() => this.#pull(), AGAIN_MS);
  }

  #onMessage(message: Pulled): void {
    // The one before it was lost on the way, and is not to be overtaken. Also of what waits: a request from before the loss
    // may still be served, and what comes while the counts are on their way makes up for what is missing in them.
    if (message.delivery !== this.#channel.received && !this.#options.host.unsafe.ignoreLosses)
      this.#options.onLost("a delivery went missing");
    else if (this.#waiting) this.#waiting.push(message);
    else this.#receive(message);
  }

  #receive(message: Pulled): void {
    if (this.#abort.signal.aborted) return;
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(message.data);
    } catch (error) {
      return void this.#reject(message, error);
    }
    const route = routeOf(envelope);
    const parsed = parseInbound(message.subject);
    if (parsed?.path !== route.path)
      return void this.#reject(message, new Error("subject and envelope name different actors"));
    if (parsed.partition !== route.partition) return void this.#forward(message, envelope, route);
    const kind = this.#options.host.kinds.get(envelope.kind);
    if (!kind) return void this.#bury(message, envelope, route);
    let activation = this.#activations.get(route.path);
    if (!activation) {
      activation = new Activation({
        host: this.#options.host,
        kind,
        route,
        stream: this.#stream,
        owned: this.#owned,
        onHeld: (deliveries) => this.#hold(deliveries),
        onReleased: (deliveries) => this.#release(deliveries),
        onIdle: (idle) => this.#options.host.idle(idle, () => this.#passivate(idle)),
      });
      this.#activations.set(route.path, activation);
      this.#options.host.created();
    }
    const suspect = message.seq <= this.#options.suspectUpTo;
    const { seq, ack, data } = message;
    const delivery: Delivery = { envelope, seq, bytes: data.length, suspect, ack };
    // Counted before delivery: the activation may release it before `deliver` returns.
    this.#held++;
    this.#heldBytes += delivery.bytes;
    if (activation.deliver(delivery)) return;
    this.#held--;
    this.#heldBytes -= delivery.bytes;
  }

  #hold(deliveries: readonly Delivery[]): void {
    this.#held += deliveries.length;
    this.#heldBytes += bytesOf(deliveries);
    // Those that have gone from the stream made room.
    if (this.#asked === 0) this.#pull();
  }

  #release(deliveries: readonly Delivery[]): void {
    this.#held -= deliveries.length;
    this.#heldBytes -= bytesOf(deliveries);
    if (this.#held === 0) this.#drained?.();
    if (this.#asked === 0) this.#pull();
  }

  #passivate(activation: Activation): boolean {
    // Its partition may have been stopped while it rested.
    if (!activation.isIdle || this.#activations.get(activation.route.path) !== activation) return false;
    activation.close("passivating");
    this.#activations.delete(activation.route.path);
    this.#options.host.closed(activation);
    return true;
  }

  /** What is no envelope, or not its own, is kept as a dead letter; the partition goes on. */
  #reject(message: Pulled, error: unknown): Promise<void> {
    const { host } = this.#options;
    host.log.error({ err: error, partition: this.partition }, "message refused, kept as a dead letter");
    const { subject, data } = message;
    const reason = error instanceof Error ? error.message : String(error);
    return this.#putAside(message, "store a dead letter", () =>
      deadBytes(host.bus, { stream: this.#stream, subject, data }, reason, host.clock.now()),
    );
  }

  /** Nobody here is there for it. An operator can send it again when somebody is. */
  #bury(message: Pulled, envelope: Envelope, route: ActorRoute): Promise<void> {
    const { host } = this.#options;
    const cause = new Error(`no actor of kind ${envelope.kind} is defined here`);
    host.log.error(
      { err: cause, partition: this.partition },
      "message of an unknown kind, kept as a dead letter",
    );
    return this.#putAside(message, "store a dead letter", () =>
      deadStranger(host.bus, { stream: this.#stream, route, envelope, cause }),
    );
  }

  /** A publisher computed another partition: the message goes to the right one. */
  #forward(message: Pulled, envelope: Envelope, route: ActorRoute): Promise<void> {
    const id = `${route.path}.${envelope.id}.moved`;
    return this.#putAside(message, "forward a message", () =>
      this.#options.host.bus.append(inboundSubject(route), message.data, { id }),
    );
  }

  /** Left alone, one that could not be stored elsewhere would come again only after its ack wait. */
  async #putAside(message: Pulled, what: string, store: () => Promise<unknown>): Promise<void> {
    const { log } = this.#options.host;
    const { signal } = this.#abort;
    try {
      await retrying(log, signal, what, store);
      message.ack();
    } catch (err) {
      if (!signal.aborted) log.error({ err, what }, "a message could not be put aside, it comes again");
    }
    // It counted among those that wait outside of mailboxes.
    if (this.#asked === 0) this.#pull();
  }
}

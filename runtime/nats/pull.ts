/**
 * Pull requests to durable consumers: "at most so many messages, now or until then". nats.js' `consume()` refills and
 * holds more than was asked for, which neither the pump's free slots nor a partition's bound allow; so this file speaks
 * `CONSUMER.MSG.NEXT` itself.
 */
import type { Msg } from "@nats-io/transport-node";
import { arrived } from "../within.ts";
import type { Bus, Subscription } from "./connect.ts";
import { Delivery, isStatus, type Pulled } from "./delivery.ts";
import { onPaused, resumeIfPaused } from "./paused.ts";
import { ACK, bodyOf, HeldAcks } from "./pull-words.ts";

export type { Pulled };

/** Why a pull request ended. */
export type PullEnd = "filled" | "empty" | "expired" | "consumer-gone" | "limit" | "broken";

export interface PullRequest {
  readonly batch: number;
  /** Full is also what has no room for the next message, which has to fit an empty one. Absent: no bound. */
  readonly maxBytes?: number;
  /** Absent: only what is there now. */
  readonly expiresMs?: number;
  /** How often the server says that it still knows of the request; requests that end sooner hear nothing. */
  readonly heartbeatMs?: number;
  readonly onMessage: (message: Pulled) => void;
  /** The consumer has nothing to give for now, and has counted so many deliveries. */
  readonly onIdle?: (delivered: number) => void;
  readonly onEnd: (end: PullEnd) => void;
}

interface Open {
  readonly request: PullRequest;
  /** Messages that it still misses. */
  left: number;
  /** Longer silence means that the request is lost. */
  readonly silenceMs: number;
  lastHeardAt: number;
}

const HEARTBEAT_MS = 2_000;
/** A pull that heard nothing for so many heartbeats is taken for broken and asked anew. */
const MISSED_HEARTBEATS = 2.5;
/**
 * An immediate pull is answered within one round trip; more than this is a lost server. A pump asks one lane at a time:
 * as long as it waits for an answer that went down with a leader, its worker stands still.
 */
const NO_WAIT_MS = 1_000;
/** The watch does not look more often. */
const LOOK_LEAST_MS = 250;
/** A long request to which nothing came, for the so manieth time: is the consumer paused, and the news of it lost? */
const LONG_MS = 10_000;
const LONG_IN_VAIN = 8;

export interface PullerOptions {
  /** For control runs of fault tests. */
  readonly ignorePauses?: boolean;
  /** For who asks for one message whenever another is done: requests travel with acknowledgements. */
  readonly askWithAcks?: boolean;
}

/** All pull channels of a connection, and the watch over requests that went silent. */
export class Puller {
  readonly #bus: Bus;
  readonly #channels = new Set<PullChannel>();
  readonly #pauses: Subscription;
  readonly #acks: Map<string, HeldAcks> | undefined;
  #watch: NodeJS.Timeout | undefined;
  #watchAt = 0;

  constructor(bus: Bus, { ignorePauses = false, askWithAcks = false }: PullerOptions = {}) {
    this.#bus = bus;
    this.#acks = askWithAcks ? new Map() : undefined;
    this.#pauses = onPaused(bus, (stream, consumer) => {
      if (!ignorePauses && [...this.#channels].some((channel) => channel.reads(stream, consumer)))
        void resumeIfPaused(bus, stream, consumer);
    });
  }

  /** One timer for all requests, for the one that could be lost first: with none open nobody is woken. */
  watch(lostAt: number): void {
    if (this.#watch !== undefined && this.#watchAt <= lostAt) return;
    clearTimeout(this.#watch);
    this.#watchAt = lostAt;
    const waitMs = Math.max(LOOK_LEAST_MS, lostAt - performance.now());
    this.#watch = setTimeout(() => void arrived().then(() => this.#look()), waitMs);
  }

  #look(): void {
    this.#watch = undefined;
    let next = Number.POSITIVE_INFINITY;
    for (const channel of this.#channels) next = Math.min(next, channel.expireSilent());
    if (next < Number.POSITIVE_INFINITY) this.watch(next);
  }

  /**
   * A channel to one consumer. A message that comes after its request was taken for broken goes to `onLate`; without
   * one it is given back, which lets later messages overtake it.
   */
  channel(stream: string, consumer: string, onLate?: (message: Pulled) => void): PullChannel {
    const onClose = (): void => void this.#channels.delete(channel);
    const watch = this.watch.bind(this);
    const acks = this.#acksOf(consumer);
    const channel = new PullChannel(this.#bus, stream, consumer, { onClose, onLate, watch, acks });
    this.#channels.add(channel);
    return channel;
  }

  /** One for all channels to a consumer. */
  #acksOf(consumer: string): HeldAcks | undefined {
    const acks = this.#acks?.get(consumer) ?? (this.#acks && new HeldAcks(this.#bus));
    if (acks) this.#acks?.set(consumer, acks);
    return acks;
  }

  close(): void {
    for (const channel of [...this.#channels]) channel.close();
    this.#pauses.stop();
    clearTimeout(this.#watch);
  }
}

/**
 * Requests to one consumer. Messages arrive under their own subjects, so a subscription a channel tells whose they are;
 * the statuses name their request.
 */
export class PullChannel {
  readonly #bus: Bus;
  readonly #stream: string;
  readonly #consumer: string;
  readonly #next: string;
  readonly #prefix: string;
  /** In order of asking: a message belongs to the oldest request that still misses some. */
  readonly #open = new Map<string, Open>();
  #asked = 0;
  #closed = false;
  /** Deliveries that came in, and those that were acked: what the consumer's own counts are compared with. */
  #received = 0;
  #acked = 0;
  /** Long requests to which nothing came, one after the other. */
  #inVain = 0;
  readonly #stopListening: () => void;
  readonly #drain: () => void;
  readonly #onClose: () => void;
  readonly #watch: (lostAt: number) => void;
  readonly #onLate: ((message: Pulled) => void) | undefined;
  readonly #acks: HeldAcks | undefined;

  constructor(
    bus: Bus,
    stream: string,
    consumer: string,
    hooks: {
      onClose: () => void;
      onLate?: ((message: Pulled) => void) | undefined;
      watch: (lostAt: number) => void;
      acks?: HeldAcks | undefined;
    },
  ) {
    this.#bus = bus;
    this.#stream = stream;
    this.#consumer = consumer;
    this.#onClose = hooks.onClose;
    this.#onLate = hooks.onLate;
    this.#watch = hooks.watch;
    this.#acks = hooks.acks;
    this.#next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#prefix = bus.inbox();
    const subscription = bus.nc.subscribe(`${this.#prefix}.*`, {
      callback: (error, message) => {
        if (!error) bus.guard(this.#next, () => this.#receive(message));
      },
    });
    this.#stopListening = () => subscription.unsubscribe();
    // On a connection that is gone there is nothing left to end.
    this.#drain = () => void subscription.drain().catch(() => {});
  }

  reads(stream: string, consumer: string): boolean {
    return stream === this.#stream && consumer === this.#consumer;
  }

  get received(): number {
    return this.#received;
  }

  get acked(): number {
    return this.#acked;
  }

  get unacked(): number {
    return this.#received - this.#acked;
  }

  /** Asks for messages; `onEnd` is called exactly once, unless the channel is closed first. */
  request(request: PullRequest): void {
    if (this.#closed) return;
    const token = (++this.#asked).toString(36);
    const { batch, maxBytes, expiresMs, heartbeatMs = HEARTBEAT_MS } = request;
    const beats = expiresMs !== undefined && expiresMs > 2 * heartbeatMs;
    const silenceMs = beats ? MISSED_HEARTBEATS * heartbeatMs : (expiresMs ?? 0) + NO_WAIT_MS;
    const now = performance.now();
    this.#open.set(token, { request, left: batch, silenceMs, lastHeardAt: now });
    this.#watch(now + silenceMs);
    // On a connection that was closed for good nobody hears it: it ends as a request that was lost does.
    if (!this.#bus.connected) return;
    const acked = this.#acks?.take();
    const body = bodyOf(
      { batch, maxBytes, expiresMs, heartbeatMs: beats ? heartbeatMs : undefined },
      acked !== undefined,
    );
    this.#bus.nc.publish(acked ?? this.#next, body, { reply: `${this.#prefix}.${token}` });
  }

  /** Forgets what was asked, for requests that went down with a connection: nothing of them is told any more. */
  forget(): void {
    this.#open.clear();
  }

  /**
   * Forgets what was asked; what is still under way is given back. `atOnce` ends the interest itself, so that the
   * server sends nothing more: for requests that stand open with nothing under way.
   */
  close(atOnce = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#open.clear();
    this.#onClose();
    if (atOnce) return this.#stopListening();
    // The subscription stays for a moment, so that messages under way are given back instead of waiting out their ack wait.
    setTimeout(() => this.#stopListening(), 1_000).unref();
  }

  /** Ends the interest: nothing more is sent, and what the server sent before it knew is given back. */
  leave(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#open.clear();
    this.#onClose();
    this.#drain();
  }

  #receive(message: Msg): void {
    if (!isStatus(message)) {
      const pulled = new Delivery(message, this.#ackOf(message.reply ?? ""), this.#answer);
      this.#received++;
      const next = this.#open.entries().next().value;
      if (!next) return this.#onLate && !this.#closed ? this.#onLate(pulled) : pulled.nak();
      const [token, open] = next;
      open.lastHeardAt = performance.now();
      open.left--;
      open.request.onMessage(pulled);
      if (open.left === 0) this.#end(token, "filled");
      return;
    }
    const token = message.subject.slice(this.#prefix.length + 1);
    const open = this.#open.get(token);
    if (!open) return;
    open.lastHeardAt = performance.now();
    const { code = 0, description = "" } = message.headers ?? {};
    if (code !== 100) this.#end(token, endOf(code, description));
    else open.request.onIdle?.(Number(message.headers?.get("Nats-Last-Consumer")));
  }

  /**
   * It holds the subject alone, so that a message that waits for long may let go of its body. Whoever handles what it had
   * taken once more, as after an activation that was broken off, acks it once more: it counts once.
   */
  #ackOf(reply: string): () => void {
    let isAcked = false;
    return () => {
      if (isAcked) return;
      isAcked = true;
      this.#acked++;
      if (this.#acks) this.#acks.hold(reply);
      else this.#answer(reply, ACK);
    };
  }

  /** A connection that ends takes the answers along: what is not acked is delivered again. */
  readonly #answer = (reply: string, body: Uint8Array): void => {
    if (this.#bus.connected) this.#bus.nc.publish(reply, body);
  };

  #end(token: string, end: PullEnd): void {
    const open = this.#open.get(token);
    if (!open) return;
    this.#open.delete(token);
    const { batch, expiresMs = 0, onEnd } = open.request;
    if (open.left < batch) this.#inVain = 0;
    else if (end === "expired" && expiresMs >= LONG_MS && ++this.#inVain % LONG_IN_VAIN === 0)
      void resumeIfPaused(this.#bus, this.#stream, this.#consumer);
    onEnd(end);
  }

  /** For the watch of the puller. @returns when the next one could be lost */
  expireSilent(): number {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [token, { lastHeardAt, silenceMs }] of this.#open) {
      if (now - lastHeardAt >= silenceMs) {
        // Who only takes appends nothing by which an isolated node would show.
        void this.#bus.suspectIsolation();
        this.#end(token, "broken");
      } else next = Math.min(next, lastHeardAt + silenceMs);
    }
    return next;
  }
}

function endOf(code: number, description: string): PullEnd {
  if (code === 404) return "empty";
  if (code === 408) return "expired";
  if (code === 503) return "consumer-gone";
  if (code === 409) {
    if (/consumer deleted|consumer is push/i.test(description)) return "consumer-gone";
    if (/exceeds maxbytes/i.test(description)) return "filled";
    if (/exceeded|max/i.test(description)) return "limit";
    return "broken";
  }
  return "broken";
}

/**
 * Following a stream in order, whatever happens to servers meanwhile. A follower has a consumer of its own that the
 * server keeps in memory and forgets soon; when it goes silent, is gone or misses something, another one begins after
 * the last message seen. The library's ordered consumers stood still for good when two leaders died in a row.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AckPolicy, type ConsumerInfo, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { LIMITS } from "#contracts/limits.ts";
import type { StoredMessage } from "./batch-get.ts";
import { type Bus, natsError, type Subscription } from "./connect.ts";
import { type PullChannel, type PullEnd, type Pulled, Puller } from "./pull.ts";

export interface FollowOptions {
  readonly stream: string;
  readonly filter: string | readonly string[];
  /** `all`: from the first message; `last`: the last message of each subject, then changes; `new`: from now on. */
  readonly from: "all" | "last" | "new";
  /** Without the bodies: subjects and sequences alone. */
  readonly headersOnly?: boolean;
  /**
   * `operation`: what a bucket did with the key where it is not a plain value. The next message waits for a promise, so
   * that what takes long can be done in slices.
   */
  readonly onMessage: (message: StoredMessage & { readonly operation: string }) => void | Promise<void>;
  /** The stream was made anew or restored, or has lost its end: all that is in it comes once more after this. */
  readonly onAnew?: () => void;
}

const BATCH = 512;
/**
 * Of a batch, and more than any message has. A server that had to hold for a client what it is too busy to read would end
 * its connection.
 */
const BATCH_BYTES = 2 * LIMITS.payloadBytes;
/** So many messages, and up to twice as many, tell the stream from another one. */
const SEEN = 8;
/** Messages are handled for so long before others have their turn. */
const SLICE_MS = 8;
const EXPIRES_MS = 30_000;
/** How long the server keeps the consumer of a follower that is gone. */
const FORGOTTEN_MS = 15_000;
/** After a follower could not begin. */
const AGAIN_MS = 2_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 2_000;
const POLICIES = {
  all: DeliverPolicy.All,
  last: DeliverPolicy.LastPerSubject,
  new: DeliverPolicy.New,
} as const;

/** Resolves when everything that was in the stream at the call has been delivered. @throws JetclawError `nats.unavailable` */
export async function follow(bus: Bus, options: FollowOptions): Promise<{ stop(): Promise<void> }> {
  const follower = new Follower(bus, options);
  try {
    await follower.begin();
  } catch (error) {
    follower.stop();
    throw natsError(error);
  }
  return { stop: async () => follower.stop() };
}

/**
 * For who goes on meanwhile: returns at once, and tries again until NATS answers.
 * @param onCaughtUp everything that was in the stream when it began has been delivered
 */
export function keepFollowing(
  bus: Bus,
  options: FollowOptions,
  onCaughtUp = (): void => {},
): { stop(): void } {
  const ended = new AbortController();
  const { signal } = ended;
  const begin = async (): Promise<void> => {
    while (!signal.aborted) {
      const follower = new Follower(bus, options);
      const stop = (): void => follower.stop();
      signal.addEventListener("abort", stop);
      try {
        await follower.begin();
        return signal.aborted ? undefined : onCaughtUp();
      } catch (error) {
        stop();
        signal.removeEventListener("abort", stop);
        bus.log.warn({ err: natsError(error), stream: options.stream }, "cannot follow yet, trying again");
        await sleep(AGAIN_MS, undefined, { signal }).catch(() => {});
      }
    }
  };
  void begin();
  return { stop: () => ended.abort() };
}

class Follower {
  readonly #bus: Bus;
  readonly #options: FollowOptions;
  readonly #puller: Puller;
  readonly #reconnects: Subscription;
  readonly #caughtUp = Promise.withResolvers<void>();
  #isBehind = true;
  #channel: PullChannel | undefined;
  #name = "";
  /** Sequence of the consumer's next delivery: a hole means that one was lost on the way. */
  #expected = 1;
  /** Stream sequence from which a new consumer begins; undefined while nothing was seen. */
  #from: number | undefined;
  /** The messages before it, newest last: when each was stored, ms since the epoch. */
  readonly #seen: { readonly seq: number; readonly at: number }[] = [];
  /** When the consumer was made, by the server's clock. */
  #begunAt = 0;
  #stopped = false;
  #opening = false;
  /** What came in and is not handled yet, oldest first. */
  #waiting: Pulled[] = [];
  #handling = false;

  constructor(bus: Bus, options: FollowOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#puller = new Puller(bus);
    this.#reconnects = bus.onReconnect(() => this.#again());
  }

  /** Resolves when it has caught up. */
  async begin(): Promise<void> {
    const { num_pending, delivered } = await this.#open();
    if (this.#options.from === "new") this.#from ??= delivered.stream_seq + 1;
    if (num_pending === 0) this.#catchUp();
    await this.#caughtUp.promise;
  }

  #catchUp(): void {
    this.#isBehind = false;
    this.#caughtUp.resolve();
  }

  stop(): void {
    this.#stopped = true;
    this.#reconnects.stop();
    this.#channel?.close(true);
    this.#puller.close();
    this.#catchUp();
    this.#forget();
  }

  async #open(): Promise<ConsumerInfo> {
    const { stream, filter, from, headersOnly = false } = this.#options;
    if (await this.#isAnother()) {
      while (this.#handling) await new Promise((next) => setImmediate(next));
      this.#from = undefined;
      this.#seen.length = 0;
      this.#options.onAnew?.();
    }
    const begin =
      this.#from === undefined
        ? { deliver_policy: POLICIES[from] }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: this.#from };
    const info = await this.#bus.jsm.consumers.add(stream, {
      name: `follow-${crypto.randomUUID()}`,
      filter_subjects: [filter].flat(),
      ack_policy: AckPolicy.None,
      replay_policy: ReplayPolicy.Instant,
      mem_storage: true,
      headers_only: headersOnly,
      num_replicas: 1,
      inactive_threshold: FORGOTTEN_MS * 1e6,
      ...begin,
    });
    this.#name = info.name;
    this.#begunAt = Date.parse(info.created);
    this.#expected = 1;
    this.#channel?.close(true);
    this.#channel = this.#puller.channel(stream, info.name);
    if (this.#stopped) this.stop();
    else this.#pull(this.#channel);
    return info;
  }

  /**
   * Made anew, restored, or without its end since a power cut: what follows has numbers that were seen before, so all of it
   * is new. A stream whose disk was set back has kept the time when it was made, and may have grown again meanwhile: then
   * another message has the number of the last one seen.
   */
  async #isAnother(): Promise<boolean> {
    if (this.#from === undefined) return false;
    const { stream } = this.#options;
    const seq = this.#from - 1;
    const { created, state } = await this.#bus.jsm.streams.info(stream);
    if (state.last_seq < seq || Date.parse(created) > this.#begunAt) return true;
    for (const seen of this.#seen.toReversed()) {
      const there = await this.#bus.leaderGet(stream, { seq: seen.seq });
      // Replaced since, in this stream or in another one: the one before it may tell.
      if (typeof there !== "string") return there.at !== seen.at;
    }
    return false;
  }

  #pull(channel: PullChannel): void {
    channel.request({
      batch: BATCH,
      maxBytes: BATCH_BYTES,
      expiresMs: EXPIRES_MS,
      onMessage: (message) => this.#take(channel, message),
      onIdle: (delivered) => void this.#idle(channel, delivered),
      onEnd: (end) => void this.#ended(channel, end),
    });
  }

  #take(channel: PullChannel, message: Pulled): void {
    if (this.#stopped || channel !== this.#channel) return;
    if (message.delivery !== this.#expected) return this.#again();
    this.#expected++;
    this.#from = message.seq + 1;
    this.#seen.push({ seq: message.seq, at: message.storedAt });
    if (this.#seen.length > 2 * SEEN) this.#seen.splice(0, SEEN);
    this.#waiting.push(message);
    if (this.#handling) return;
    this.#handling = true;
    // After all that came in with it: handled one by one as they are read, a whole batch would be one slice.
    queueMicrotask(() => void this.#handle());
  }

  /** Whatever else this process does has its turn between: a stream may hold a hundred thousand messages. */
  async #handle(): Promise<void> {
    while (this.#waiting.length > 0) {
      const until = performance.now() + SLICE_MS;
      let handled = 0;
      for (const message of this.#waiting) {
        const work = this.#handleOne(message);
        handled++;
        if (work) await work;
        if (performance.now() > until) break;
      }
      this.#waiting.splice(0, handled);
      if (this.#waiting.length > 0) await new Promise((next) => setImmediate(next));
    }
    this.#handling = false;
  }

  /** @returns what has to end before the next one, where it takes longer */
  #handleOne(message: Pulled): Promise<void> | undefined {
    if (this.#stopped) return undefined;
    const { subject, data, seq, storedAt, pending } = message;
    const work = this.#bus.guard(subject, () =>
      this.#options.onMessage({ subject, data, seq, at: storedAt, operation: message.operation() }),
    );
    const done = (): void => {
      if (pending === 0) this.#catchUp();
    };
    if (work instanceof Promise)
      return work
        .catch((err) =>
          this.#bus.log.error({ err, subject }, "a message's handler failed, going on with the next"),
        )
        .then(done);
    done();
    return undefined;
  }

  /** The next batch is asked for when the last one is handled, so that what waits here stays small. */
  async #ended(channel: PullChannel, end: PullEnd): Promise<void> {
    if (end !== "filled" && end !== "expired" && end !== "empty") return this.#againFor(channel);
    while (this.#waiting.length > 0 && !this.#stopped) await new Promise((next) => setImmediate(next));
    if (!this.#stopped && channel === this.#channel) this.#pull(channel);
  }

  /** What was to come may be gone: lost between two servers, which only the counts show, or removed before it came. */
  async #idle(channel: PullChannel, delivered: number): Promise<void> {
    if (delivered >= this.#expected) return this.#againFor(channel);
    if (!this.#isBehind || this.#handling) return;
    const state = await this.#bus.consumerState(this.#options.stream, this.#name).catch(() => undefined);
    if (state?.num_pending === 0 && channel === this.#channel && !this.#handling) this.#catchUp();
  }

  #againFor(channel: PullChannel): void {
    if (channel === this.#channel) this.#again();
  }

  /** Begins with a new consumer after the last message seen, as often as it takes. */
  #again(): void {
    if (this.#opening || this.#stopped) return;
    this.#opening = true;
    this.#channel?.close(true);
    this.#channel = undefined;
    this.#forget();
    void this.#reopen().finally(() => {
      this.#opening = false;
    });
  }

  async #reopen(): Promise<void> {
    for (let waitMs = FIRST_WAIT_MS; !this.#stopped; waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2)) {
      try {
        const { num_pending } = await this.#open();
        if (num_pending === 0) this.#catchUp();
        return;
      } catch (err) {
        this.#bus.log.debug({ err, stream: this.#options.stream }, "cannot follow yet, trying again");
      }
      await new Promise((next) => setTimeout(next, waitMs).unref());
    }
  }

  /** A courtesy: the server forgets it by itself. */
  #forget(): void {
    if (this.#name === "" || !this.#bus.online) return;
    this.#bus.publish(`$JS.API.CONSUMER.DELETE.${this.#options.stream}.${this.#name}`, new Uint8Array());
    this.#name = "";
  }
}

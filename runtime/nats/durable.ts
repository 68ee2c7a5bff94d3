/**
 * A durable reader of a stream: every event is handled at least once, by one of the processes that share its name. What
 * a process held that was killed comes again to the others at once: a bell rings for each event, and until it is handled
 * everybody looks whether the others are still there.
 */
import { AckPolicy, DeliverPolicy, JetStreamApiError } from "@nats-io/jetstream";
import { JetclawError } from "#contracts/errors.ts";
import { CoReaders } from "./co-readers.ts";
import { type Bus, NO_DATA, natsError, type Subscription } from "./connect.ts";
import { resumeIfPaused } from "./paused.ts";
import { type PullChannel, type PullEnd, type Pulled, Puller } from "./pull.ts";

export interface DurableOptions {
  readonly stream: string;
  readonly name: string;
  readonly filter: string;
  /**
   * A subject on which something is published when the stream has stored an event. Left out, what a killed process held
   * comes again after its ack wait.
   */
  readonly bell?: string;
  /** Events handled at once. */
  readonly inFlight: number;
  /** Handling the same event twice, also at the same time, does no harm. A rejected promise gives it back for a while. */
  readonly handle: (message: Pulled) => Promise<void>;
  /** While something is to be done, and when nothing is any more. */
  readonly onProgress?: (progress: Progress) => Promise<void>;
}

/** How far all who share the name are together: every event up to `floor` is handled, and `pending` are not. */
export interface Progress {
  readonly floor: number;
  readonly pending: number;
  /** When the reader was made; another one begins anew. */
  readonly createdAt: string;
}

export interface DurableReader {
  /** Stops taking and waits for what is being handled. */
  stop(): Promise<void>;
  /** Events not yet handled. */
  waiting(): Promise<number>;
}

const EXPIRES_MS = 30_000;
/**
 * Where nobody is left to notice a death, or a process was frozen, what it held comes again after so long. Whoever works
 * on an event says so more often than that, so that slow work is not done twice.
 */
const ACK_WAIT_MS = 2_000;
const WORKING_MS = 600;
/** The server reckons with an acknowledgement a moment after it was sent. */
const HANDLED_MS = 2;
/** A look at the others while something waits, and while so much waits that nobody can be in a hurry. */
const LOOK_MS = 25;
const BACKLOG = 256;
const BACKLOG_LOOK_MS = 100;
/** After so many looks at which nothing had moved they become rare: embeddings may be away for hours. */
const SAME_LOOKS = 40;
const RARE_LOOK_MS = 1_000;
/** By then every other one has answered who is there. */
const KNOWN_MS = 150;
const RESET_MS = 2_000;

/** Starts handling. @throws JetclawError `nats.unavailable` */
export async function readDurably(bus: Bus, options: DurableOptions): Promise<DurableReader> {
  const reader = new Reader(bus, options);
  try {
    await reader.ensure();
  } catch (error) {
    await reader.stop();
    throw error;
  }
  reader.start();
  return reader;
}

/** Forgets how far a reader has come. False when there is none of that name. @throws JetclawError `nats.unavailable` */
export async function removeReader(bus: Bus, stream: string, name: string): Promise<boolean> {
  try {
    return await bus.jsm.consumers.delete(stream, name);
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === NO_CONSUMER) return false;
    throw natsError(error);
  }
}
const NO_CONSUMER = 10_014;

class Reader implements DurableReader {
  readonly #bus: Bus;
  readonly #options: DurableOptions;
  readonly #puller: Puller;
  readonly #channel: PullChannel;
  readonly #others: CoReaders;
  readonly #bell: Subscription | undefined;
  readonly #reconnects: Subscription;
  /** What is being handled, by sequence, as it was last delivered. */
  readonly #held = new Map<number, Pulled>();
  readonly #running = new Set<Promise<void>>();
  readonly #startedAt = performance.now();
  #outstanding = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #lookAt = Number.POSITIVE_INFINITY;
  #notBefore = 0;
  #looking = false;
  /** Wanted while one was under way. */
  #lookAgain = false;
  #seen = { floor: -1, pending: -1, times: 0 };
  /** Looks in a row that found more given out than anybody known holds. */
  #ownerless = 0;

  constructor(bus: Bus, options: DurableOptions) {
    this.#bus = bus;
    this.#options = options;
    this.#puller = new Puller(bus);
    this.#channel = this.#puller.channel(options.stream, options.name);
    // Known before anything is given to this process.
    this.#others = new CoReaders(bus, options.name, () => void this.#giveBack());
    if (options.bell !== undefined) this.#bell = bus.subscribe(options.bell, () => this.#lookIn(LOOK_MS));
    this.#reconnects = bus.onReconnect(() => void this.#renew());
  }

  async ensure(): Promise<void> {
    const { stream, name, filter } = this.#options;
    try {
      const { paused } = await this.#bus.jsm.consumers.add(stream, {
        durable_name: name,
        filter_subject: filter,
        deliver_policy: DeliverPolicy.All,
        ack_policy: AckPolicy.Explicit,
        ack_wait: ACK_WAIT_MS * 1e6,
        max_ack_pending: 10_000,
      });
      if (paused) void resumeIfPaused(this.#bus, stream, name);
    } catch (error) {
      throw natsError(error);
    }
  }

  start(): void {
    this.#pull();
    this.#lookIn(0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#bell?.stop();
    this.#reconnects.stop();
    this.#channel.close();
    await Promise.all(this.#running);
    this.#others.stop();
    this.#puller.close();
  }

  async waiting(): Promise<number> {
    return (await this.#progress()).pending;
  }

  #pull(): void {
    const free = this.#options.inFlight - this.#running.size;
    if (this.#stopped || this.#outstanding || free <= 0 || !this.#bus.connected) return;
    this.#outstanding = true;
    this.#channel.request({
      batch: free,
      expiresMs: EXPIRES_MS,
      onMessage: (message) => this.#take(message),
      onEnd: (end) => this.#ended(end),
    });
  }

  /** What was asked for is gone with the connection, and who deleted or paused the consumer meanwhile was not heard. */
  async #renew(): Promise<void> {
    await this.ensure().catch(() => {});
    this.#channel.forget();
    this.#outstanding = false;
    this.#pull();
  }

  #ended(end: PullEnd): void {
    this.#outstanding = false;
    const again = (): void => this.#pull();
    if (end === "consumer-gone") this.ensure().then(again, () => setTimeout(again, 1_000));
    else if (end === "broken" || end === "limit") setTimeout(again, 500);
    else this.#pull();
  }

  /** What is delivered again while it is being handled is acknowledged as it came last. */
  #take(message: Pulled): void {
    const known = this.#held.has(message.seq);
    this.#held.set(message.seq, message);
    if (known) return;
    const work = this.#handle(message).finally(() => {
      this.#running.delete(work);
      this.#pull();
      this.#lookIn(HANDLED_MS);
    });
    this.#running.add(work);
  }

  async #handle(message: Pulled): Promise<void> {
    const { handle, name } = this.#options;
    const { seq } = message;
    const latest = (): Pulled => this.#held.get(seq) ?? message;
    const working = setInterval(() => latest().working(), WORKING_MS);
    try {
      await handle(message);
      latest().ack();
    } catch (err) {
      // At the end what waited for somebody is given back, and that is no failure.
      if (!this.#stopped) this.#bus.log.warn({ err, reader: name }, "event not handled, trying again");
      latest().nak(Math.min(30_000, 250 * 2 ** Math.min(message.deliveries, 7)));
    } finally {
      clearInterval(working);
      this.#held.delete(seq);
    }
  }

  /** The next look comes not later than that, unless much is to be done. */
  #lookIn(ms: number): void {
    const at = Math.max(performance.now() + ms, this.#notBefore);
    if (this.#stopped || this.#lookAt <= at) return;
    clearTimeout(this.#timer);
    this.#lookAt = at;
    this.#timer = setTimeout(() => void this.#look(), Math.max(0, at - performance.now()));
  }

  /** Goes on until nothing is to be done any more. One at a time. */
  async #look(): Promise<void> {
    this.#lookAt = Number.POSITIVE_INFINITY;
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    this.#others.look();
    let pause: number | undefined = RARE_LOOK_MS;
    try {
      const progress = await this.#progress();
      await this.#options.onProgress?.(progress);
      this.#noticeOwnerless(progress.givenOut);
      pause = this.#pauseAfter(progress);
    } catch (err) {
      if (!this.#stopped)
        this.#bus.log.warn({ err, reader: this.#options.name }, "cannot tell how far the reader is");
    } finally {
      this.#looking = false;
    }
    if (this.#lookAgain) pause = HANDLED_MS;
    this.#lookAgain = false;
    if (pause !== undefined) this.#lookIn(pause);
  }

  /** Until the next look; undefined when nothing is to be done. */
  #pauseAfter({ floor, pending }: Progress): number | undefined {
    const same = floor === this.#seen.floor && pending === this.#seen.pending;
    this.#seen = { floor, pending, times: same ? this.#seen.times + 1 : 0 };
    this.#notBefore = pending < BACKLOG ? 0 : performance.now() + BACKLOG_LOOK_MS;
    if (pending === 0) return undefined;
    return this.#seen.times < SAME_LOOKS ? LOOK_MS : RARE_LOOK_MS;
  }

  async #progress(): Promise<Progress & { readonly givenOut: number }> {
    const { stream, name } = this.#options;
    const state = await this.#bus.consumerState(stream, name);
    if (!state) throw new JetclawError("nats.unavailable", `there is no consumer ${name}`);
    const { num_pending, num_ack_pending: givenOut, delivered, ack_floor, created: createdAt } = state;
    const pending = num_pending + givenOut;
    return { pending, floor: (pending === 0 ? delivered : ack_floor).stream_seq, givenOut, createdAt };
  }

  /** More is given out than anybody holds who is known: somebody was gone before this process came. */
  #noticeOwnerless(givenOut: number): void {
    const alone = this.#others.others === 0 && performance.now() - this.#startedAt >= KNOWN_MS;
    this.#ownerless = alone && givenOut > this.#held.size ? this.#ownerless + 1 : 0;
    // Not at once, as acknowledgements are on their way.
    if (this.#ownerless < 2) return;
    this.#ownerless = 0;
    void this.#giveBack();
  }

  /** Everything that is given out and not acknowledged is given out again. */
  async #giveBack(): Promise<void> {
    const { stream, name } = this.#options;
    if (this.#stopped) return;
    this.#bus.log.info({ reader: name }, "a process is gone, what it held is given to others");
    try {
      await this.#bus.request(`$JS.API.CONSUMER.RESET.${stream}.${name}`, NO_DATA, RESET_MS);
    } catch (err) {
      this.#bus.log.warn({ err, reader: name }, "what a dead process held comes again after its ack wait");
    }
  }
}

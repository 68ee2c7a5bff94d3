/** The queue of one pool: six consumers by class and lane, and the door bell that says which may hold something. */
import { AckPolicy, JetStreamApiError } from "@nats-io/jetstream";
import { LIMITS } from "#contracts/limits.ts";
import {
  bellLaneFilter,
  bellPassed,
  CLASSES,
  inferConsumer,
  inferLaneFilter,
  inferStream,
  type Lane,
  type PriorityClass,
} from "#contracts/subjects.ts";
import { FailureStreak } from "../observe/streak.ts";
import { type Bus, NO_DATA, natsError, type Subscription } from "./connect.ts";
import { resumeIfPaused } from "./paused.ts";
import { type PullChannel, type Pulled, Puller } from "./pull.ts";

/** Where a job waits, and a slot for it. */
export interface QueueLane {
  readonly cls: PriorityClass;
  readonly lane: Lane;
}

export const LANES: readonly QueueLane[] = CLASSES.flatMap((cls) => [
  { cls, lane: 0 as Lane },
  { cls, lane: 1 as Lane },
]);

/** A standing request is not told that it still stands: what a lost one should have brought is found by sweeps. */
const NO_HEARTBEAT_MS = Number.POSITIVE_INFINITY;
/** A standing request that was refused is not made again at once. */
const REFUSED_MS = 250;
/** Queue group of the workers that share the bells of a lane. */
const BELL_GROUP = "pumps";
const CONSUMER_NOT_FOUND = 10014;

export interface LaneDepth {
  readonly cls: PriorityClass;
  readonly lane: Lane;
  /** Waiting, not yet delivered to any worker. */
  readonly waiting: number;
  /** Delivered, not yet acked. */
  readonly inFlight: number;
  /** Deliveries that are over: acked, given back or timed out. */
  readonly settled: number;
  /** Stream sequence of the newest delivered message: what waits for its first delivery is behind it. */
  readonly deliveredSeq: number;
}

export class WorkQueue {
  readonly pool: string;
  readonly #bus: Bus;
  readonly #puller: Puller;
  readonly #stream: string;
  readonly #channels = new Map<string, PullChannel>();
  readonly #standing = new Map<string, PullChannel>();
  /** Ends what is being taken. */
  readonly #takes = new Set<() => void>();
  /** What was done to its consumers while nobody here could hear of it. */
  readonly #reconnects: Subscription;
  readonly #making: FailureStreak;

  #closed = false;

  private constructor(bus: Bus, pool: string) {
    this.pool = pool;
    this.#bus = bus;
    // Each lane asks anew as soon as it hears that its consumer is gone, which is often while the stream is.
    this.#making = new FailureStreak(bus.log, `making the consumers of the queue of ${pool}`);
    this.#puller = new Puller(bus, { askWithAcks: true });
    this.#stream = inferStream(pool);
    for (const { cls, lane } of LANES) {
      const name = inferConsumer(cls, lane);
      this.#channels.set(name, this.#puller.channel(this.#stream, name));
    }
    this.#reconnects = bus.onReconnect(() => this.#makeConsumersAgain());
  }

  /** Opens the queue and makes its consumers where they are missing. */
  static async open(bus: Bus, pool: string): Promise<WorkQueue> {
    const queue = new WorkQueue(bus, pool);
    try {
      await queue.ensureConsumers();
    } catch (error) {
      // Whoever asks again would leave six channels and a timer behind each time.
      queue.close();
      throw error;
    }
    return queue;
  }

  /** Makes the consumers that are missing; asked for many times at once it is done once. */
  ensureConsumers(): Promise<void> {
    this.#ensuring ??= Promise.all(LANES.map(({ cls, lane }) => this.#ensure(cls, lane)))
      .then(() => {})
      .catch((error) => {
        throw natsError(error);
      })
      .finally(() => {
        this.#ensuring = undefined;
      });
    return this.#ensuring;
  }
  #ensuring: Promise<void> | undefined;

  /** A consumer without a leader looks as if it were gone; making it again would only burden its cluster. */
  async #ensure(cls: PriorityClass, lane: Lane): Promise<void> {
    const name = inferConsumer(cls, lane);
    try {
      const { paused } = await this.#bus.jsm.consumers.info(this.#stream, name);
      if (paused) void resumeIfPaused(this.#bus, this.#stream, name);
      return;
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_NOT_FOUND) throw error;
    }
    await this.#bus.jsm.consumers.add(this.#stream, {
      durable_name: name,
      filter_subject: inferLaneFilter(this.pool, cls, lane),
      ack_policy: AckPolicy.Explicit,
      ack_wait: LIMITS.jobAckWaitMs * 1e6,
      max_ack_pending: 10_000,
      max_waiting: 4_096,
    });
  }

  #makeConsumersAgain(): void {
    this.ensureConsumers().then(
      () => this.#making.ended(),
      (err) => this.#making.failed(err),
    );
  }

  /** At most `free` messages that are there now, never more; resolves within one round trip, or when the queue is closed. */
  take(cls: PriorityClass, lane: Lane, free: number): Promise<Pulled[]> {
    return new Promise((resolve) => {
      const taken: Pulled[] = [];
      const over = (): void => {
        this.#takes.delete(over);
        resolve(taken);
      };
      if (this.#closed) return over();
      this.#takes.add(over);
      this.#channels.get(inferConsumer(cls, lane))?.request({
        batch: free,
        onMessage: (message) => void taken.push(message),
        onEnd: (end) => {
          if (end === "consumer-gone") this.#makeConsumersAgain();
          over();
        },
      });
    });
  }

  /**
   * Waits for one message of a lane, so that an idle worker is handed it without asking first. `onEnd` is called when
   * none came in time; a message given back or taken counts as delivered like any other.
   */
  stand(at: QueueLane, waitMs: number, onMessage: (message: Pulled) => void, onEnd: () => void): void {
    const name = inferConsumer(at.cls, at.lane);
    if (this.#closed || !this.#bus.connected) return void setTimeout(onEnd, REFUSED_MS);
    // A channel of its own: messages name their subject, not their request, and would be taken for those of another.
    const channel = this.#standing.get(name) ?? this.#puller.channel(this.#stream, name);
    this.#standing.set(name, channel);
    const ended = (): void => {
      if (this.#standing.get(name) === channel) onEnd();
    };
    channel.request({
      batch: 1,
      expiresMs: waitMs,
      heartbeatMs: NO_HEARTBEAT_MS,
      onMessage,
      onEnd: (end) => {
        if (end === "filled") return;
        if (end === "expired") return ended();
        if (end === "consumer-gone") this.#makeConsumersAgain();
        setTimeout(ended, REFUSED_MS);
      },
    });
  }

  /** Ends the standing request of a lane, or all; jobs that come now go to others. */
  sit(at?: QueueLane): void {
    const only = at && inferConsumer(at.cls, at.lane);
    for (const [name, channel] of this.#standing) {
      if (only !== undefined && name !== only) continue;
      this.#standing.delete(name);
      channel.leave();
    }
  }

  /** Rings when a job was stored, where `shared` at one of all workers only; bells can be lost, so sweep as well. */
  onBell(cls: PriorityClass, lane: Lane, shared: boolean, ring: () => void): Subscription {
    if (!this.#bus.connected) return { stop() {} };
    return this.#bus.subscribe(
      bellLaneFilter(this.pool, cls, lane),
      ring,
      shared ? { queue: BELL_GROUP } : {},
    );
  }

  /** Rings for another worker. */
  passBell(cls: PriorityClass, lane: Lane): void {
    if (this.#bus.connected) this.#bus.publish(bellPassed(this.pool, cls, lane), NO_DATA);
  }

  /** Jobs in the queue, held by anyone or waiting. */
  stored(): Promise<number> {
    return this.#bus.countOf(this.#stream);
  }

  /** Depth of each lane, from the leader. @throws JetclawError `nats.unavailable` */
  async depth(): Promise<LaneDepth[]> {
    return Promise.all(
      LANES.map(async ({ cls, lane }) => {
        const state = await this.#bus.consumerState(this.#stream, inferConsumer(cls, lane));
        if (!state) return { cls, lane, waiting: 0, inFlight: 0, settled: 0, deliveredSeq: 0 };
        const { num_pending: waiting, num_ack_pending: inFlight, delivered } = state;
        const settled = delivered.consumer_seq - inFlight;
        return { cls, lane, waiting, inFlight, settled, deliveredSeq: delivered.stream_seq };
      }),
    );
  }

  close(): void {
    this.#closed = true;
    for (const over of this.#takes) over();
    this.sit();
    this.#reconnects.stop();
    this.#puller.close();
  }
}

/**
 * One pump a pool: takes jobs when slots are free, in the order of `order.ts`, and holds them until they are done.
 * Whether it may take is decided in one flat function, `#resume`, which cannot re-enter.
 */
import { LIMITS } from "#contracts/limits.ts";
import type { Lane, PriorityClass } from "#contracts/subjects.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import type { Log } from "#runtime/observe/log.ts";
import { ALL_LANES, type Ask, type LaneSet, laneBit, nextAsk, reservedOf } from "./order.ts";

/** The queue of a pool as the pump sees it. */
export interface PumpQueue {
  take(cls: PriorityClass, lane: Lane, most: number): Promise<Pulled[]>;
  onBell(ring: (cls: PriorityClass, lane: Lane) => void): { stop(): void };
  /** Waits for one job of a lane; exactly one of the two is called. */
  stand?(cls: PriorityClass, lane: Lane, onMessage: (message: Pulled) => void, onEnd: () => void): void;
  /** Ends what stands; neither is called any more. */
  sit?(): void;
  /** Jobs in the stream, held by anyone or waiting. */
  stored(): Promise<number>;
}

/** Works on one job. Acks or gives back, and never rejects; when the signal aborts it gives back at once. */
export type RunJob = (message: Pulled, handBack: AbortSignal) => Promise<void>;

export interface PumpOptions {
  readonly queue: PumpQueue;
  /** Jobs held at once; a function where models let through more or fewer from one moment to the next. */
  readonly slots: number | (() => number);
  readonly run: RunJob;
  readonly log: Log;
}

interface Held {
  readonly message: Pulled;
  readonly handBack: AbortController;
  readonly done: Promise<void>;
}

/** Progress is acknowledged and the lanes are swept this often. */
const TICK_MS = LIMITS.jobAckWaitMs / 3;
/** A take that lasted longer brings jobs whose ack wait is nearly over: somebody else gets them too. */
const STALE_TAKE_MS = (LIMITS.jobAckWaitMs * 2) / 3;
/** Slots are reserved for ongoing jobs for so long after the last one; without any, every slot is for all. */
const ONGOING_MEMORY_MS = 10_000;
/** Where idle slots wait, and the share of the slots that may. */
const STANDING: readonly { cls: PriorityClass; lane: Lane }[] = [
  { cls: "ongoing", lane: 0 },
  { cls: "new", lane: 0 },
];
const STANDING_SHARE = 1 / 4;
/** What a run that was told to give back may still need to do so. */
const HAND_BACK_MS = 1_000;

export class Pump {
  readonly #options: PumpOptions;
  readonly #held = new Set<Held>();
  readonly #tick: NodeJS.Timeout;
  readonly #bell: { stop(): void };
  #state: "running" | "draining" | "drained" = "running";
  #marked: LaneSet = ALL_LANES;
  #permits = 0;
  #ongoingAt = 0;
  /** Lanes on which one job is waited for, by bit; true when its bell has rung. Each stands for a slot. */
  readonly #standing = new Map<LaneSet, boolean>();
  #asking: Promise<void> | undefined;
  #sweeping = false;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#bell = options.queue.onBell((cls, lane) => {
      const bit = laneBit(cls, lane);
      // The first bell of a lane is for the job that a standing request brings; the next one is for one more.
      if (this.#standing.get(bit) === false) return void this.#standing.set(bit, true);
      this.#marked |= bit;
      this.#resume();
    });
    this.#tick = setInterval(() => this.#onTick(), TICK_MS);
    this.#resume();
  }

  get slots(): number {
    const { slots } = this.#options;
    return typeof slots === "number" ? slots : slots();
  }

  get inFlight(): number {
    return this.#held.size;
  }

  get state(): "running" | "draining" | "drained" {
    return this.#state;
  }

  /** Looks into every lane again: after a reconnect, when bells were lost for sure. */
  sweep(): void {
    this.#marked = ALL_LANES;
    this.#resume();
  }

  /** Stops taking, lets what is held finish within the grace, gives the rest back. */
  async drain(graceMs: number): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "draining";
    this.#bell.stop();
    this.#options.queue.sit?.();
    await this.#asking;
    await within(graceMs, this.#allDone());
    for (const held of this.#held) held.handBack.abort();
    await within(HAND_BACK_MS, this.#allDone());
    clearInterval(this.#tick);
    this.#state = "drained";
  }

  /** Every "may I take?" is answered here. Called whenever a slot or a mark may have changed. */
  #resume(): void {
    if (this.#state !== "running") return;
    if (this.#asking !== undefined) return;
    const { slots } = this;
    const reserved = Date.now() - this.#ongoingAt < ONGOING_MEMORY_MS ? reservedOf(slots) : 0;
    const free = slots - this.#held.size - this.#standing.size;
    const next = nextAsk(this.#marked, free, this.#permits, reserved);
    if (next === undefined) return this.#stand(slots, free);
    // Unmarked before the question leaves: a bell that rings meanwhile marks the lane again.
    this.#marked &= ~next.bit;
    this.#asking = this.#ask(next)
      .catch((err) => this.#options.log.warn({ err }, "a lane was not asked; the next sweep asks again"))
      .finally(() => {
        this.#asking = undefined;
        this.#resume();
      });
  }

  /** With nothing to ask for, a few slots wait at the lanes that answer people: their next job comes without a question. */
  #stand(slots: number, free: number): void {
    const { queue } = this.#options;
    if (!queue.stand) return;
    const most = Math.min(STANDING.length, Math.floor(slots * STANDING_SHARE), free + this.#standing.size);
    for (const { cls, lane } of STANDING.slice(0, most)) {
      const bit = laneBit(cls, lane);
      if (this.#standing.has(bit) || this.#marked & bit) continue;
      this.#standing.set(bit, false);
      queue.stand(
        cls,
        lane,
        (message) => {
          this.#standing.delete(bit);
          this.#accept(cls, [message]);
          this.#resume();
        },
        () => {
          this.#standing.delete(bit);
          this.#resume();
        },
      );
    }
  }

  async #ask({ cls, lane, bit, batch }: Ask): Promise<void> {
    const askedAt = Date.now();
    const taken = await this.#options.queue.take(cls, lane, batch);
    if (taken.length === batch) this.#marked |= bit;
    this.#accept(cls, taken, Date.now() - askedAt > STALE_TAKE_MS);
  }

  #accept(cls: PriorityClass, taken: readonly Pulled[], stale = false): void {
    this.#permits += taken.length;
    if (cls === "ongoing" && taken.length > 0) this.#ongoingAt = Date.now();
    for (const message of taken) {
      if (stale || this.#state !== "running") giveBack(message);
      else this.#start(message);
    }
  }

  #start(message: Pulled): void {
    const handBack = new AbortController();
    const done = this.#options.run(message, handBack.signal).finally(() => {
      this.#held.delete(held);
      this.#resume();
    });
    const held: Held = { message, handBack, done };
    this.#held.add(held);
  }

  #onTick(): void {
    for (const { message } of this.#held) quietly(() => message.working());
    if (this.#state !== "running") return;
    // With no slot free nothing can be asked; mark all, so that the next free slot also finds redelivered jobs,
    // for which no bell rings.
    if (this.#held.size >= this.slots) this.#marked = ALL_LANES;
    else void this.#sweepIfStored();
  }

  /** One question instead of six: an idle worker asks only whether the stream holds more than the worker does. */
  async #sweepIfStored(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    try {
      if ((await this.#options.queue.stored()) > this.#held.size) this.sweep();
    } catch (err) {
      this.#options.log.debug({ err }, "cannot ask what the queue holds, looking into every lane");
      this.sweep();
    } finally {
      this.#sweeping = false;
    }
  }

  async #allDone(): Promise<void> {
    await Promise.all([...this.#held].map(({ done }) => done));
  }
}

/** Gives a job back; on a closed connection its ack wait does the same a little later. */
export function giveBack(message: Pulled, delayMs?: number): void {
  quietly(() => message.nak(delayMs));
}

function quietly(say: () => void): void {
  try {
    say();
  } catch {
    // Thrown only by a connection that was closed for good: nothing can be said over it, and nobody is to be told.
  }
}

function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void work.finally(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

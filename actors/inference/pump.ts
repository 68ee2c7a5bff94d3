/**
 * One pump a pool: takes jobs when slots are free, in the order of `order.ts`, and holds them until they are done.
 * Whether it may take is decided in one flat function, `#resume`, which cannot re-enter.
 */
import { LIMITS } from "#contracts/limits.ts";
import type { PriorityClass } from "#contracts/subjects.ts";
import type { Pulled } from "#runtime/nats/pull.ts";
import type { Log } from "#runtime/observe/log.ts";
import { untilPulse } from "#runtime/pulse.ts";
import { within } from "#runtime/within.ts";
import {
  ALL_LANES,
  type Ask,
  bitsOf,
  HOT_LANES,
  HOT_PLACES,
  type LaneSet,
  NO_LANES,
  nextAsk,
  ONGOING_LANES,
} from "./order.ts";
import { giveBack, type PumpQueue, quietly } from "./pump-queue.ts";
import { learnReserve, reservedSlots, Waits } from "./reserve.ts";

/**
 * Works on one job. Acks or gives back, and never rejects; when `handBack` aborts it gives back at once, when `leaving`
 * does, as soon as nobody is at work on it. The signals are those of all jobs: whoever is done stops listening.
 */
export type RunJob = (message: Pulled, handBack: AbortSignal, leaving: AbortSignal) => Promise<void>;

export interface PumpOptions {
  readonly queue: PumpQueue;
  /** Jobs held at once; a function where models let through more or fewer from one moment to the next. */
  readonly slots: number | (() => number);
  readonly run: RunJob;
  readonly log: Log;
}

type Place = Pick<Ask, "cls" | "lane" | "bit">;

interface Held {
  readonly message: Pulled;
  readonly done: Promise<void>;
}

/** Progress is acknowledged and the lanes without a waiting slot are swept this often, */
const TICK_MS = LIMITS.jobAckWaitMs / 3;
/** and so often by a worker that holds nothing: it stands where nearly all jobs come. */
const IDLE_TICK_MS = 4 * TICK_MS;
/** The others too, about as often, where the queue holds something. */
const LOOK_MS = IDLE_TICK_MS - TICK_MS / 2;
/** A take that lasted longer brings jobs whose ack wait is nearly over: somebody else gets them too. */
const STALE_TAKE_MS = (LIMITS.jobAckWaitMs * 2) / 3;
/** Slots are reserved for ongoing jobs for so long after the last one; without any, every slot is for all. */
const ONGOING_MEMORY_MS = 10_000;
/** With fewer slots none can wait at a lane: it would be the only one for all the others. */
const STANDING_SLOTS = 4;
/** A slot waits at a lane for so long while there are others for the other lanes, */
const STAND_MS = 30_000;
/** when only ongoing jobs could have it, */
const STAND_RESERVED_MS = 1_000;
/** and when there is none for the others: then the lanes take turns. */
const STAND_LAST_MS = 50;
/** Weight of the newest job in the usual time of one. */
const USUAL_WEIGHT = 1 / 16;
/** What a run that was told to give back may still need to do so. */
const HAND_BACK_MS = 1_000;

export class Pump {
  readonly #options: PumpOptions;
  readonly #held = new Set<Held>();
  /** Each one for all runs: whoever drains gives everything back at once. */
  readonly #leaving = new AbortController();
  readonly #handBack = new AbortController();
  /** Lanes where a slot waits where it can; the others are heard of by bells. */
  readonly #hot: LaneSet;
  /** Bells that are listened to, by lane: of the shared ones all whose lane is not marked. */
  readonly #bells = new Map<LaneSet, { stop(): void }>();
  #tick: NodeJS.Timeout | undefined;
  #tickAt = 0;
  #state: "running" | "draining" | "drained" = "running";
  /** Lanes that may hold something. */
  #marked: LaneSet = ALL_LANES;
  /** Hot lanes at which a slot waits. */
  #standing: LaneSet = NO_LANES;
  /** Those of them where it would wait for long. */
  #patient: LaneSet = NO_LANES;
  /** Hot lanes found empty since a slot became free. */
  #passed: LaneSet = NO_LANES;
  #permits = 0;
  #ongoingAt = Number.NEGATIVE_INFINITY;
  #reserve = 0;
  readonly #waits = new Waits();
  #usualMs = 0;
  #asking: Promise<void> | undefined;
  #sweeping = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PumpOptions) {
    this.#options = options;
    const { queue } = options;
    this.#hot = queue.stand && this.slots >= STANDING_SLOTS ? HOT_LANES : NO_LANES;
    this.#schedule();
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

  /** After a reconnect: bells were lost for sure, and nobody knows any more of the slots that wait at lanes. */
  renew(): void {
    this.#options.queue.sit?.();
    this.#sits(ALL_LANES);
    this.#marked = ALL_LANES;
    this.#resume();
  }

  /** Looks into the lanes again, seldom where a slot waits: what comes there comes by itself, unless the server forgot the slot. */
  #sweep(): void {
    const now = performance.now();
    const all = now - this.#lookedAt >= LOOK_MS;
    if (all) this.#lookedAt = now;
    this.#marked |= all ? ALL_LANES : ALL_LANES & ~this.#standing;
    this.#resume();
  }

  /** Stops taking, lets what is held finish within the grace, gives the rest back. */
  async drain(graceMs: number): Promise<void> {
    if (this.#state !== "running") return;
    this.#state = "draining";
    this.#leaving.abort();
    for (const bell of this.#bells.values()) bell.stop();
    this.#options.queue.sit?.();
    await this.#asking;
    await within(this.#allDone(), graceMs);
    this.#handBack.abort();
    await within(this.#allDone(), HAND_BACK_MS);
    clearTimeout(this.#tick);
    this.#state = "drained";
  }

  /** Every "may I take?" is answered here. Called whenever a slot or a mark may have changed. */
  #resume(): void {
    for (;;) {
      if (this.#state !== "running") return;
      if (this.#asking !== undefined) return;
      const { slots } = this;
      const free = this.#free(slots);
      if (free <= 0) {
        if (!this.#leave()) return;
        continue;
      }
      const reserved = this.#reserved(slots);
      // Nobody rings for a hot lane: where no slot waits it may hold something, until it was looked at.
      const unknown = this.#hot & ~this.#standing & ~this.#passed;
      const next = nextAsk(this.#marked | unknown, free, this.#permits, reserved);
      if (next === undefined) {
        // Everybody had a turn: the hot lanes that were found empty are next again.
        if ((this.#passed & this.#hot & ~this.#standing) === 0) return;
        this.#passed = NO_LANES;
        continue;
      }
      const elsewhere = (this.#marked & ~next.bit) | (unknown & (next.bit - 1));
      const others = elsewhere & (free <= reserved ? ONGOING_LANES : ALL_LANES);
      if (this.#mayStand(next.bit, free - (others & ~ONGOING_LANES ? reserved : 0), bitsOf(others)))
        this.#stand(next, free, reserved);
      else return this.#begin(next);
    }
  }

  /**
   * A question may as well wait for its answer, unless slots would miss what is known to wait. Where a slot stands already,
   * standing again would change nothing.
   * @param others lanes that may hold something and come before this one, or are known to
   */
  #mayStand(bit: LaneSet, free: number, others: number): boolean {
    if ((bit & this.#hot & ~this.#standing) === 0) return false;
    return this.#marked & bit ? free === 1 && others === 0 : free > others;
  }

  #begin(next: Ask): void {
    // Unmarked, with an ear to its bell, before the question leaves: a job that comes meanwhile marks the lane again.
    this.#marked &= ~next.bit;
    if ((next.bit & this.#hot) === 0) this.#listen(next);
    this.#asking = this.#ask(next);
  }

  #listen({ cls, lane, bit }: Place): void {
    if (this.#bells.has(bit)) return;
    const shared = (bit & HOT_LANES) === 0;
    const bell = this.#options.queue.onBell(cls, lane, shared, () => {
      this.#marked |= bit;
      if (shared) {
        // It rang here alone. Who knows already needs no further bell, and who has no slot for it rings for the next.
        bell.stop();
        this.#bells.delete(bit);
        if (!this.#hasRoomFor(bit)) this.#options.queue.passBell(cls, lane);
      }
      this.#resume();
    });
    this.#bells.set(bit, bell);
  }

  /** Slots that neither hold a job nor wait at a lane. */
  #free(slots: number): number {
    return slots - this.#held.size - bitsOf(this.#standing);
  }

  #hasRoomFor(bit: LaneSet): boolean {
    const { slots } = this;
    return this.#free(slots) > (bit & ONGOING_LANES ? 0 : this.#reserved(slots));
  }

  /** A free slot waits at a lane: the lane's next job comes without a question, and to one worker alone. */
  #stand({ cls, lane, bit }: Place, free: number, reserved: number): void {
    const left = free - bitsOf(this.#hot & ~this.#standing);
    const waitMs = left > reserved ? STAND_MS : free <= reserved ? STAND_RESERVED_MS : STAND_LAST_MS;
    this.#standing |= bit;
    this.#marked &= ~bit;
    if (waitMs === STAND_MS) this.#patient |= bit;
    this.#options.queue.stand?.(
      { cls, lane },
      waitMs,
      (message) => {
        this.#sits(bit);
        this.#accept(cls, bit, [message]);
        this.#resume();
      },
      () => {
        this.#sits(bit);
        this.#passed |= bit;
        this.#resume();
      },
    );
  }

  #sits(bits: LaneSet): void {
    this.#standing &= ~bits;
    this.#patient &= ~bits;
  }

  /**
   * Gives up the least of the places where slots wait patiently, if it is wanted elsewhere: at a lane that comes before
   * it or is known to hold something, or, as the last one, at all of them in turn.
   */
  #leave(): boolean {
    const place = HOT_PLACES.findLast(({ bit }) => (this.#patient & bit) !== 0);
    if (!place) return false;
    const { cls, lane, bit } = place;
    const before = this.#hot & (bit - 1);
    if (((this.#marked | before) & ~this.#standing) === 0 && this.#standing !== bit) return false;
    this.#options.queue.sit?.({ cls, lane });
    this.#sits(bit);
    return true;
  }

  #reserved(slots: number): number {
    return performance.now() - this.#ongoingAt < ONGOING_MEMORY_MS ? reservedSlots(this.#reserve, slots) : 0;
  }

  async #ask({ cls, lane, bit, batch }: Ask): Promise<void> {
    const askedAt = performance.now();
    try {
      const taken = await this.#options.queue.take(cls, lane, batch);
      // It would have been handed to the slot that waits here: the server has forgotten that one.
      if (taken.length > 0 && (this.#standing & bit) !== 0) {
        this.#options.queue.sit?.({ cls, lane });
        this.#sits(bit);
      }
      if (taken.length < batch) this.#passed |= bit;
      // What is delivered anew is not counted as pending: a batch that was filled may have left some.
      else if (batch > 1) this.#marked |= bit;
      this.#accept(cls, bit, taken, performance.now() - askedAt > STALE_TAKE_MS);
    } catch (err) {
      this.#options.log.warn({ err }, "a lane was not asked; the next sweep asks again");
    }
    this.#asking = undefined;
    this.#resume();
  }

  #accept(cls: PriorityClass, bit: LaneSet, taken: readonly Pulled[], stale = false): void {
    const last = taken.at(-1);
    if (!last) return;
    if (last.pending > 0) this.#marked |= bit;
    this.#permits += taken.length;
    this.#learn(cls, taken);
    for (const message of taken) {
      if (stale || this.#state !== "running") giveBack(message);
      else this.#start(message);
    }
  }

  #learn(cls: PriorityClass, taken: readonly Pulled[]): void {
    const now = performance.now();
    const usualMs = this.#usualMs;
    const { slots } = this;
    for (const { storedAt, deliveries } of taken) {
      // One that comes again waited for a worker that died, not for a slot.
      if (deliveries !== 1) continue;
      const waitedMs = this.#waits.of(storedAt, now);
      if (cls === "ongoing") this.#reserve = learnReserve(this.#reserve, { waitedMs, usualMs, slots });
    }
    if (cls === "ongoing") this.#ongoingAt = now;
  }

  #start(message: Pulled): void {
    const startedAt = performance.now();
    const done = this.#options.run(message, this.#handBack.signal, this.#leaving.signal).then(() => {
      this.#held.delete(held);
      this.#usualMs += (performance.now() - startedAt - this.#usualMs) * USUAL_WEIGHT;
      this.#passed = NO_LANES;
      this.#resume();
    });
    const held: Held = { message, done };
    this.#held.add(held);
    // What begins right after an idle tick is not to wait for the next one to say that it is alive.
    if (this.#tickAt - startedAt > TICK_MS) this.#schedule();
  }

  #schedule(): void {
    const waitMs = this.#held.size > 0 ? TICK_MS : untilPulse(IDLE_TICK_MS);
    clearTimeout(this.#tick);
    this.#tickAt = performance.now() + waitMs;
    this.#tick = setTimeout(() => {
      this.#onTick();
      this.#schedule();
    }, waitMs);
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
      if ((await this.#options.queue.stored()) > this.#held.size) this.#sweep();
    } catch (err) {
      this.#options.log.debug({ err }, "cannot ask what the queue holds, looking into every lane");
      this.#sweep();
    } finally {
      this.#sweeping = false;
    }
  }

  async #allDone(): Promise<void> {
    await Promise.all([...this.#held].map(({ done }) => done));
  }
}

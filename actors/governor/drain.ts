/**
 * Predicts waits from what a queue shows. Pure but for what it remembers of earlier readings: how fast the pool works
 * while jobs wait, and how fast each class arrives.
 */
import type { Drain } from "#contracts/load.ts";
import { CLASSES, type PriorityClass } from "#contracts/subjects.ts";

/** One class of a queue, both lanes together. */
export interface ClassReading {
  readonly waiting: number;
  readonly inFlight: number;
  /** Deliveries that are over since the consumer was made. */
  readonly settled: number;
  /** Age of the oldest waiting job, ms. */
  readonly oldestMs: number;
}

/** A queue at one moment, as its leader has it. */
export interface QueueReading {
  readonly at: number;
  /** Jobs that have left the stream since it was made, whoever removed them. */
  readonly removed: number;
  readonly classes: Readonly<Record<PriorityClass, ClassReading>>;
}

/** Rates follow the load with this time constant: long enough for answers that take seconds, short enough to notice. */
const SMOOTH_SECONDS = 10;
/** One permit in so many goes to the lowest class, whatever waits before it. */
const AGEING_SHARE = 1 / 16;
/** Nothing waits longer than this; a pool that does nothing would give infinity. */
const MOST_MS = 3_600_000;

/** Events a second, older ones counting less. */
class Rate {
  #events = 0;
  #seconds = 0;

  add(events: number, seconds: number): void {
    const keep = Math.exp(-seconds / SMOOTH_SECONDS);
    this.#events = this.#events * keep + events;
    this.#seconds = this.#seconds * keep + seconds;
  }

  /** Undefined before the first event. */
  get perSecond(): number | undefined {
    return this.#events > 0 ? this.#events / this.#seconds : undefined;
  }
}

export class DrainMeter {
  readonly #pool: string;
  readonly #work = new Rate();
  readonly #arrivals = new Map(CLASSES.map((cls) => [cls, new Rate()]));
  #before: QueueReading | undefined;
  /** When a job last left while others waited. */
  #movedAt = 0;

  constructor(pool: string) {
    this.#pool = pool;
  }

  take(now: QueueReading): Drain[] {
    this.#learn(now);
    this.#before = now;
    return CLASSES.map((cls, n) => {
      const { waiting, inFlight, oldestMs } = now.classes[cls];
      return { pool: this.#pool, cls, waiting, inFlight, oldestMs, drainMs: this.#drainMs(now, n) };
    });
  }

  #learn(now: QueueReading): void {
    const before = this.#before;
    const seconds = before ? (now.at - before.at) / 1_000 : 0;
    const left = before ? now.removed - before.removed : 0;
    // A queue that was made anew, or a clock that went back, says nothing.
    if (!before || seconds <= 0 || left < 0) {
      this.#movedAt = now.at;
      return;
    }
    const settled = CLASSES.map((cls) => Math.max(0, now.classes[cls].settled - before.classes[cls].settled));
    const all = settled.reduce((a, b) => a + b, 0);
    // What workers did: redeliveries settle and leave nothing; answers of a provider's batch, and what is purged with
    // its session, leave the stream without a worker's work.
    const removed = Math.min(left, all);
    const busy = waitingOf(before) > 0 && waitingOf(now) > 0;
    if (removed > 0 || !busy) this.#movedAt = now.at;
    // Only while jobs wait does the speed of the workers show; otherwise it is the speed of arrival, a lower bound.
    if (busy || removed / seconds > (this.#work.perSecond ?? Number.POSITIVE_INFINITY))
      this.#work.add(removed, seconds);
    for (const [n, cls] of CLASSES.entries()) {
      // The share counts, the sum is what was done.
      const done = all > 0 ? (removed * (settled[n] as number)) / all : 0;
      const came = heldOf(now.classes[cls]) - heldOf(before.classes[cls]) + done;
      this.#arrivals.get(cls)?.add(Math.max(0, came), seconds);
    }
  }

  /** Strict order of classes: what waits here and before, over what the classes before leave of the capacity. */
  #drainMs(now: QueueReading, n: number): number {
    const upTo = CLASSES.slice(0, n + 1).map((cls) => now.classes[cls]);
    const ahead = upTo.reduce((sum, { waiting }) => sum + waiting, 0);
    if (ahead === 0) return 0;
    const oldestMs = Math.max(...upTo.map(({ oldestMs }) => oldestMs));
    const work = this.#work.perSecond;
    // Nothing has been finished yet: it will take at least as long as it has taken so far.
    if (work === undefined) return Math.min(oldestMs, MOST_MS);
    const taken = CLASSES.slice(0, n).reduce(
      (sum, cls) => sum + (this.#arrivals.get(cls)?.perSecond ?? 0),
      0,
    );
    const left = n === 0 ? work : Math.max(work - taken, work * AGEING_SHARE);
    // A queue whose head does not move waits at least as long as it stands still, whatever the rate was before.
    const stuckMs = Math.min(oldestMs, now.at - this.#movedAt);
    return Math.min(Math.max((ahead / left) * 1_000, stuckMs), MOST_MS);
  }
}

const heldOf = ({ waiting, inFlight }: ClassReading): number => waiting + inFlight;
const waitingOf = ({ classes }: QueueReading): number =>
  CLASSES.reduce((sum, cls) => sum + classes[cls].waiting, 0);

/** What an autoscaler goes by: the wait of people; what nobody waits for may take ten times as long. */
export function scaleValue(drains: readonly Drain[]): number {
  const of = (cls: PriorityClass): Drain | undefined => drains.find((drain) => drain.cls === cls);
  const deferred = of("deferred");
  return Math.round(
    Math.max(of("new")?.drainMs ?? 0, deferred && deferred.waiting > 0 ? deferred.drainMs / 10 : 0),
  );
}

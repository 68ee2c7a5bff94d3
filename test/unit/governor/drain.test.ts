// A queue simulated in steps of half a second: the predicted wait has to be near the one that really follows.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DrainMeter, type QueueReading, scaleValue } from "#actors/governor/drain.ts";
import type { Drain } from "#contracts/load.ts";
import { CLASSES, type PriorityClass } from "#contracts/subjects.ts";

const ROUND_MS = 500;

/** Jobs of one second on `slots` slots, classes in strict order. */
class Queue {
  now = 0;
  removed = 0;
  slots: number;
  readonly waiting: Record<PriorityClass, number[]> = { ongoing: [], new: [], deferred: [] };
  readonly settled: Record<PriorityClass, number> = { ongoing: 0, new: 0, deferred: 0 };
  readonly held: { cls: PriorityClass; endsAt: number }[] = [];

  constructor(slots: number) {
    this.slots = slots;
  }

  add(cls: PriorityClass, jobs: number): void {
    for (let n = 0; n < jobs; n++) this.waiting[cls].push(this.now);
  }

  round(arrivals: Partial<Record<PriorityClass, number>> = {}): QueueReading {
    this.now += ROUND_MS;
    for (const done of this.held.filter(({ endsAt }) => endsAt <= this.now)) {
      this.held.splice(this.held.indexOf(done), 1);
      this.settled[done.cls]++;
      this.removed++;
    }
    for (const cls of CLASSES) this.add(cls, arrivals[cls] ?? 0);
    for (const cls of CLASSES)
      while (this.held.length < this.slots && this.waiting[cls].length > 0) {
        this.waiting[cls].shift();
        this.held.push({ cls, endsAt: this.now + 1_000 });
      }
    return this.reading();
  }

  reading(): QueueReading {
    const of = (cls: PriorityClass) => ({
      waiting: this.waiting[cls].length,
      inFlight: this.held.filter((job) => job.cls === cls).length,
      settled: this.settled[cls],
      oldestMs: this.waiting[cls].length > 0 ? this.now - (this.waiting[cls][0] as number) : 0,
    });
    return {
      at: this.now,
      removed: this.removed,
      classes: { ongoing: of("ongoing"), new: of("new"), deferred: of("deferred") },
    };
  }
}

const of = (drains: readonly Drain[], cls: PriorityClass): Drain =>
  drains.find((drain) => drain.cls === cls) as Drain;

describe("drain time", () => {
  test("an empty queue has none, before and after it had work", () => {
    const queue = new Queue(4);
    const meter = new DrainMeter("main");
    expect(meter.take(queue.reading()).map(({ drainMs }) => drainMs)).toEqual([0, 0, 0]);
    queue.add("new", 8);
    for (let n = 0; n < 20; n++) meter.take(queue.round());
    expect(meter.take(queue.round()).map(({ drainMs }) => drainMs)).toEqual([0, 0, 0]);
  });

  test("while nothing has ever been finished it is the age of the oldest job", () => {
    const queue = new Queue(0);
    queue.add("new", 5);
    const meter = new DrainMeter("main");
    for (let n = 1; n <= 30; n++) expect(of(meter.take(queue.round()), "new").drainMs).toBe(n * ROUND_MS);
  });

  test("workers that stop are noticed at the pace of the clock, whatever their rate was", () => {
    const queue = new Queue(10);
    const meter = new DrainMeter("main");
    for (let n = 0; n < 40; n++) meter.take(queue.round({ new: 6 }));
    queue.held.length = 0;
    queue.slots = 0;
    queue.add("new", 1);
    for (let n = 0; n < 20; n++) meter.take(queue.round());
    expect(of(meter.take(queue.round()), "new").drainMs).toBeGreaterThanOrEqual(10_000);
  });

  test("what leaves the stream without a worker, as answers of a provider's batch do, makes no queue look fast", () => {
    const queue = new Queue(4);
    const meter = new DrainMeter("main");
    queue.add("new", 400);
    for (let n = 0; n < 20; n++) meter.take(queue.round());
    const before = of(meter.take(queue.reading()), "new").drainMs;
    for (let n = 0; n < 4; n++) {
      queue.removed += 100;
      expect(of(meter.take(queue.round()), "new").drainMs).toBeGreaterThan(before * 0.9);
    }
  });

  test("under a load that leaves a part for new conversations it is near the wait that follows", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 20 }),
        fc.double({ min: 0, max: 0.7, noNaN: true }),
        fc.integer({ min: 30, max: 120 }),
        (slots, share, backlog) => {
          const queue = new Queue(slots);
          const meter = new DrainMeter("main");
          const ongoing = Math.floor((slots * share) / 2);
          queue.add("new", backlog * 4);
          for (let n = 0; n < 40; n++) meter.take(queue.round({ ongoing }));
          const before = of(meter.take(queue.reading()), "new");
          fc.pre(before.waiting > slots);
          const wanted = queue.settled.new + before.waiting + before.inFlight;
          let rounds = 0;
          while (queue.settled.new < wanted && ++rounds < 10_000) queue.round({ ongoing });
          const real = rounds * ROUND_MS;
          expect(before.drainMs).toBeGreaterThan(real * 0.6 - 2_000);
          expect(before.drainMs).toBeLessThan(real * 1.6 + 2_000);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("a class waits for those before it, never for those behind it", () => {
    const queue = new Queue(4);
    const meter = new DrainMeter("main");
    queue.add("deferred", 400);
    for (let n = 0; n < 20; n++) meter.take(queue.round());
    const drains = meter.take(queue.reading());
    expect([of(drains, "ongoing").drainMs, of(drains, "new").drainMs]).toEqual([0, 0]);
    expect(of(drains, "deferred").drainMs).toBeGreaterThan(10_000);
    expect(scaleValue(drains)).toBe(Math.round(of(drains, "deferred").drainMs / 10));
  });

  test("figures are finite and never negative, whatever the readings say", () => {
    const cls = fc.record({
      waiting: fc.nat(1_000),
      inFlight: fc.nat(100),
      settled: fc.nat(100_000),
      oldestMs: fc.nat(600_000),
    });
    const reading = fc.record({
      at: fc.nat(1_000_000),
      removed: fc.nat(100_000),
      classes: fc.record({ ongoing: cls, new: cls, deferred: cls }),
    });
    fc.assert(
      fc.property(fc.array(reading, { maxLength: 30 }), (readings) => {
        const meter = new DrainMeter("main");
        for (const each of readings)
          for (const { drainMs } of meter.take(each)) {
            expect(Number.isFinite(drainMs)).toBe(true);
            expect(drainMs).toBeGreaterThanOrEqual(0);
          }
      }),
    );
  });
});

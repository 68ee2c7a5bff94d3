// The law of scaling: inside its bounds, up at most twofold and not before new workers have started, down by one and
// only where the rest has room.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextWorkers, type ScalePolicy, type ScaleReading, type ScaleState } from "#actors/governor/scale.ts";

const policy: ScalePolicy = { min: 1, max: 8, targetMs: 2_000, holdMs: 30_000, warmMs: 5_000 };
const at = (workers: number, changedAt = 0): ScaleState => ({ workers, changedAt });
const load = (drainMs: number, inFlight = 0, slots = 8): ScaleReading => ({ drainMs, inFlight, slots });

describe("scaling", () => {
  test("follows the ratio of drain to target, twofold at most", () => {
    expect(nextWorkers(at(2), load(3_000), 10_000, policy).workers).toBe(3);
    expect(nextWorkers(at(2), load(60_000), 10_000, policy).workers).toBe(4);
    expect(nextWorkers(at(6), load(60_000), 10_000, policy).workers).toBe(8);
    expect(nextWorkers(at(2), load(60_000), 4_999, policy).workers).toBe(2);
  });

  test("keeps workers that are busy although nothing waits", () => {
    let state = at(4);
    for (let now = 0; now < 300_000; now += 500) state = nextWorkers(state, load(0, 26, 32), now, policy);
    expect(state.workers).toBe(4);
  });

  test("gives up one worker a hold when there is nothing to do, down to the fewest", () => {
    let state = at(4);
    const seen: number[] = [];
    for (let now = 0; now <= 100_000; now += 500) {
      state = nextWorkers(state, load(0, 0, state.workers * 8), now, policy);
      if (state.changedAt === now && now > 0) seen.push(now);
    }
    expect(state.workers).toBe(1);
    expect(seen).toEqual([30_000, 60_500, 91_000].map((ms) => expect.closeTo(ms, -4)));
  });

  test("whatever the readings are, the laws hold", () => {
    const reading = fc.record({ drainMs: fc.nat(100_000), inFlight: fc.nat(64), slots: fc.nat(64) });
    fc.assert(
      fc.property(
        fc.array(reading, { maxLength: 300 }),
        fc.integer({ min: 1, max: 8 }),
        (readings, start) => {
          let state = at(start);
          let lastChange = 0;
          for (const [n, each] of readings.entries()) {
            const now = n * 500;
            const next = nextWorkers(state, each, now, policy);
            expect(next.workers).toBeGreaterThanOrEqual(policy.min);
            expect(next.workers).toBeLessThanOrEqual(policy.max);
            expect(next.workers).toBeLessThanOrEqual(state.workers * 2);
            expect(next.workers).toBeGreaterThanOrEqual(state.workers - 1);
            if (next.workers !== state.workers) {
              const least = next.workers > state.workers ? policy.warmMs : policy.holdMs;
              expect(now - lastChange).toBeGreaterThanOrEqual(least);
              lastChange = now;
            }
            state = next;
          }
        },
      ),
    );
  });
});

// The order in which lanes are asked, played against queues: strict, never more than the free slots, and no class
// that holds something waits for ever.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AGEING_EVERY, ALL_LANES, laneBit, NO_LANES, nextAsk } from "#actors/inference/order.ts";
import { CLASSES } from "#contracts/subjects.ts";

const lanes = CLASSES.flatMap((cls) => [
  { cls, lane: 0 as const },
  { cls, lane: 1 as const },
]);
const depths = fc.array(fc.nat({ max: 60 }), { minLength: 6, maxLength: 6 });

/** Serves everything as a worker does that frees all its slots after each take. @returns the lanes served, in order */
function serve(depth: number[], slots: number): number[] {
  const left = [...depth];
  const served: number[] = [];
  let marked = ALL_LANES;
  for (;;) {
    const ask = nextAsk(marked, slots, served.length);
    if (ask === undefined) return served;
    expect(ask.batch).toBeGreaterThan(0);
    expect(ask.batch).toBeLessThanOrEqual(slots);
    const at = lanes.findIndex(({ cls, lane }) => cls === ask.cls && lane === ask.lane);
    const taken = Math.min(left[at] as number, ask.batch);
    left[at] = (left[at] as number) - taken;
    for (let i = 0; i < taken; i++) served.push(at);
    if (taken < ask.batch) marked &= ~ask.bit;
  }
}

describe("nextAsk", () => {
  test("asks nothing without a free slot or a marked lane", () => {
    fc.assert(
      fc.property(fc.nat({ max: ALL_LANES }), fc.nat(), (marked, permits) => {
        expect(nextAsk(marked, 0, permits)).toBeUndefined();
        expect(nextAsk(NO_LANES, 5, permits)).toBeUndefined();
      }),
    );
  });

  test("asks only marked lanes, and never for more than is free", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: ALL_LANES }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(),
        (marked, free, permits) => {
          const ask = nextAsk(marked, free, permits);
          expect(ask && marked & ask.bit).toBe(ask?.bit);
          expect(ask?.bit).toBe(ask && laneBit(ask.cls, ask.lane));
          expect(ask?.batch).toBeLessThanOrEqual(free);
        },
      ),
    );
  });

  test("serves every job, in strict order but for one permit in sixteen", () => {
    fc.assert(
      fc.property(depths, fc.integer({ min: 1, max: 40 }), (depth, slots) => {
        const served = serve(depth, slots);
        expect(served).toHaveLength(depth.reduce((a, b) => a + b, 0));
        // What is left when the aged permits are taken out is sorted.
        const strict = served.filter((_, n) => n % AGEING_EVERY !== AGEING_EVERY - 1);
        const descents = strict.filter((lane, n) => n > 0 && lane < (strict[n - 1] as number));
        expect(descents).toEqual([]);
      }),
    );
  });

  test("keeps reserved slots for ongoing jobs, and takes nothing from them", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: ALL_LANES }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(),
        fc.nat({ max: 100 }),
        (marked, free, permits, reserved) => {
          const ask = nextAsk(marked, free, permits, reserved);
          const ongoingMarked = (marked & 3) !== 0;
          if (ongoingMarked) expect(ask).toBeDefined();
          else if (free <= reserved) expect(ask).toBeUndefined();
          else expect(ask?.batch).toBeLessThanOrEqual(free - reserved);
        },
      ),
    );
  });

  test("gives the lowest class that holds something its permit in sixteen", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), (slots) => {
        const served = serve([200, 0, 0, 0, 20, 20], slots);
        const first200 = served.slice(0, 160);
        expect(first200.filter((lane) => lane >= 4)).toHaveLength(160 / AGEING_EVERY);
        // Both lanes of the class move.
        expect(new Set(first200)).toEqual(new Set([0, 4, 5]));
      }),
    );
  });
});

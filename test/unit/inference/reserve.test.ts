// The reserve for ongoing jobs: where it comes to rest, and what it never exceeds.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { learnReserve, reservedSlots } from "#actors/inference/reserve.ts";

const SLOTS = 16;
const seen = (waitedMs: number) => ({ waitedMs, usualMs: 1_000, slots: SLOTS });

describe("the reserve for ongoing jobs", () => {
  test("is never negative and never more than a quarter of the slots", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 10_000 }), { maxLength: 200 }),
        fc.nat({ max: 200 }),
        fc.nat({ max: 5_000 }),
        (waits, slots, usualMs) => {
          let reserve = 0;
          for (const waitedMs of waits) {
            reserve = learnReserve(reserve, { waitedMs, usualMs, slots });
            expect(reserve).toBeGreaterThanOrEqual(0);
            expect(reservedSlots(reserve, slots)).toBeLessThanOrEqual(slots / 4);
          }
        },
      ),
    );
  });

  test("is nothing while nobody waits", () => {
    let reserve = 3;
    for (let i = 0; i < 200; i++) reserve = learnReserve(reserve, seen(10));
    expect(reservedSlots(reserve, SLOTS)).toBe(0);
  });

  test("comes to rest where fewer than one in twenty waits", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 1_000_000 }), (needed, seed) => {
        // Without `needed` slots a job waits half of the time, with them never.
        let [reserve, waited, state] = [0, 0, seed];
        const jobs = 2_000;
        for (let i = 0; i < jobs; i++) {
          state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
          const waits = reservedSlots(reserve, SLOTS) < needed && state % 2 === 0;
          if (waits) waited++;
          reserve = learnReserve(reserve, seen(waits ? 500 : 5));
        }
        expect(waited / jobs).toBeLessThan(0.05);
        expect(reservedSlots(reserve, SLOTS)).toBeLessThanOrEqual(needed + 1);
      }),
    );
  });

  test("takes a wait for one only beyond a twentieth of a usual job, and not below 25 ms", () => {
    expect(learnReserve(0, { waitedMs: 400, usualMs: 10_000, slots: SLOTS })).toBe(0);
    expect(learnReserve(0, { waitedMs: 600, usualMs: 10_000, slots: SLOTS })).toBe(1);
    expect(learnReserve(0, { waitedMs: 20, usualMs: 50, slots: SLOTS })).toBe(0);
  });
});

// The reserve for ongoing jobs: where it comes to rest, and what it never exceeds.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { learnReserve, reservedSlots, Waits } from "#actors/inference/reserve.ts";

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

describe("how long jobs waited", () => {
  test.each([0, -3_600_000, 3_600_000, -80, 80])("is the same by a clock that is %i ms apart", (skewMs) => {
    const waits = new Waits();
    // What each waited, the first one hardly at all.
    const waited = [2, 500, 30, 2, 900];
    const told = waited.map((ms, n) => waits.of(n * 1_000 + skewMs, n * 1_000 + ms));
    expect(told).toEqual([0, 498, 28, 0, 898]);
  });

  test("a reserve is learnt from it as by one clock, and none is where nobody waits", () => {
    for (const skewMs of [-60_000, 0, 60_000]) {
      const waits = new Waits();
      let [idle, busy] = [0, 0];
      for (let n = 0; n < 100; n++) idle = learnReserve(idle, seen(waits.of(n * 100 + skewMs, n * 100 + 3)));
      for (let n = 100; n < 200; n++)
        busy = learnReserve(busy, seen(waits.of(n * 100 + skewMs, n * 100 + (n % 2 === 0 ? 400 : 3))));
      expect(idle).toBe(0);
      expect(reservedSlots(busy, SLOTS)).toBe(SLOTS / 4);
    }
  });

  test("a server whose clock was set back counts as a wait for two minutes, one set forward for none", () => {
    const waits = new Waits();
    expect(waits.of(0, 1)).toBe(0);
    expect(waits.of(60_000 - 5_000, 60_001)).toBe(5_000);
    expect(waits.of(120_000 - 5_000, 120_001)).toBe(0);
    expect(waits.of(121_000 + 5_000, 121_001)).toBe(0);
  });
});

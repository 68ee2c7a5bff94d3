// The laws of lanes: alone or even means lane 0, a flood means lane 1, and nobody's lane depends on who floods.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fairLane } from "#contracts/fair-share.ts";

const backlogs = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 50 });
const laneIn = (all: readonly number[], at: number) =>
  fairLane({
    own: all[at] as number,
    all: all.reduce((sum, each) => sum + each, 0),
    tenants: all.length,
  });

describe("a fair lane", () => {
  test("a tenant that is alone is never demoted", () => {
    fc.assert(fc.property(fc.nat(), (own) => fairLane({ own, all: own, tenants: own > 0 ? 1 : 0 }) === 0));
  });

  test("tenants of equal backlog are all in lane 0, however large it is", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 200 }), (each, tenants) => {
        expect(fairLane({ own: each, all: each * tenants, tenants })).toBe(0);
      }),
    );
  });

  test("whoever has no more than the others' mean keeps lane 0: a flood demotes nobody else", () => {
    fc.assert(
      fc.property(backlogs, (all) => {
        for (const [at, own] of all.entries()) {
          const others = all.filter((_, n) => n !== at);
          const mean = others.reduce((sum, each) => sum + each, 0) / Math.max(1, others.length);
          if (own <= mean) expect(laneIn(all, at)).toBe(0);
        }
      }),
    );
  });

  test("one that has ten times what the others have, and more than a handful, is demoted", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 200 }), (each, others) => {
        expect(laneIn([...Array<number>(others).fill(each), 10 * each], others)).toBe(1);
      }),
    );
  });

  test("one more job never brings a tenant back into lane 0", () => {
    fc.assert(
      fc.property(backlogs, fc.nat(), (all, n) => {
        const at = n % all.length;
        const more = all.map((each, index) => (index === at ? each + 1 : each));
        expect(laneIn(more, at)).toBeGreaterThanOrEqual(laneIn(all, at));
      }),
    );
  });

  test("who has nothing yet is judged like anybody else, and what is configured holds instead", () => {
    expect(fairLane({ own: 0, all: 1_000, tenants: 3 })).toBe(0);
    expect(fairLane({ own: 2, all: 2, tenants: 1 }, 2)).toBe(1);
    expect(fairLane({ own: 1, all: 1_000, tenants: 2 }, 2)).toBe(0);
  });
});

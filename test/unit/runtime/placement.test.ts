// The pure decision who owns what, played through members that come, go and drain.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PARTITIONS } from "#contracts/ids.ts";
import { assign, type Member, shares } from "#runtime/placement/assign.ts";

type Owners = (string | undefined)[];
const NOBODY: Owners = new Array<undefined>(PARTITIONS).fill(undefined);
const members = fc
  .uniqueArray(fc.stringMatching(/^[a-z0-9]{1,8}$/), { minLength: 1, maxLength: 9 })
  .chain((names) =>
    fc.tuple(
      ...names.map((instance) =>
        fc.record({
          instance: fc.constant(instance),
          weight: fc.integer({ min: 1, max: 4 }),
          steady: fc.constant(true),
        }),
      ),
    ),
  );
const owners = fc.array(fc.option(fc.stringMatching(/^[a-z0-9]{1,2}$/), { nil: undefined }), {
  minLength: PARTITIONS,
  maxLength: PARTITIONS,
});

function loads(of: Owners): Map<string | undefined, number> {
  const load = new Map<string | undefined, number>();
  for (const owner of of) load.set(owner, (load.get(owner) ?? 0) + 1);
  return load;
}
const moved = (before: Owners, after: Owners): number[] =>
  before.flatMap((owner, p) => (owner === after[p] ? [] : [p]));

/** Rounds until nothing moves any more. */
function settle(start: Owners, present: readonly Member[], moves = 8): Owners {
  let now = start;
  for (let round = 0; round < 50; round++) {
    const next = assign(now, present, moves);
    if (moved(now, next).length === 0) return now;
    now = next;
  }
  throw new Error("placement does not come to rest");
}

describe("placement", () => {
  test("gives every partition to a live member, at once and whatever was before", () => {
    fc.assert(
      fc.property(owners, members, (before, present) => {
        const alive = new Set(present.map((m) => m.instance));
        for (const owner of assign(before, present, 0)) expect(alive.has(owner as string)).toBe(true);
      }),
    );
  });

  test("comes to rest with each member at exactly its share", () => {
    fc.assert(
      fc.property(owners, members, (before, present) => {
        const load = loads(settle(before, present));
        for (const [instance, share] of shares(present)) expect(load.get(instance) ?? 0).toBe(share);
      }),
    );
  });

  test("moves only the partitions of a member that left", () => {
    fc.assert(
      fc.property(members, fc.nat(), (present, pick) => {
        fc.pre(present.length > 1);
        const before = settle(NOBODY, present);
        const leaver = present[pick % present.length] as Member;
        const after = assign(
          before,
          present.filter((m) => m !== leaver),
          0,
        );
        expect(moved(before, after).every((p) => before[p] === leaver.instance)).toBe(true);
        expect(after).not.toContain(leaver.instance);
      }),
    );
  });

  test("gives a newcomer its share and moves nothing between the others", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), (count) => {
        const old = Array.from({ length: count }, (_, n) => ({ instance: `h${n}`, weight: 1, steady: true }));
        const before = settle(NOBODY, old);
        const present = [...old, { instance: "newcomer", weight: 1, steady: true }];
        const after = settle(before, present);
        const toOthers = moved(before, after).filter((p) => after[p] !== "newcomer");
        // Shares are rounded, so one partition may change between old members, never a redistribution.
        expect(toOthers.length).toBeLessThanOrEqual(count);
        expect(loads(after).get("newcomer")).toBe(shares(present).get("newcomer"));
      }),
    );
  });

  test("takes everything from a draining member and gives it nothing", () => {
    fc.assert(
      fc.property(members, (present) => {
        fc.pre(present.length > 1);
        const before = settle(NOBODY, present);
        const draining = (present[0] as Member).instance;
        const after = assign(
          before,
          [{ instance: draining, weight: 0, steady: true }, ...present.slice(1)],
          0,
        );
        expect(after).not.toContain(draining);
        expect(moved(before, after).every((p) => before[p] === draining)).toBe(true);
      }),
    );
  });

  test("moves for balance at most as many as it was allowed", () => {
    fc.assert(
      fc.property(members, members, fc.nat({ max: 12 }), (before, present, moves) => {
        const start = settle(NOBODY, before);
        const forced = assign(start, present, 0);
        expect(moved(forced, assign(start, present, moves)).length).toBeLessThanOrEqual(moves);
      }),
    );
  });

  test("is the same on every host, in whatever order it heard of the members", () => {
    fc.assert(
      fc.property(owners, members, (before, present) => {
        expect(assign(before, [...present].reverse(), 8)).toEqual(assign(before, present, 8));
      }),
    );
  });

  test("gives nothing to members that are not steady, and takes nothing from them", () => {
    fc.assert(
      fc.property(owners, members, fc.infiniteStream(fc.boolean()), (before, all, steadiness) => {
        const present = all.map((m) => ({ ...m, steady: steadiness.next().value === true }));
        fc.pre(present.some((m) => m.steady));
        const start = assign(before, all, 0);
        const after = settle(start, present);
        for (const p of moved(start, after)) {
          const from = present.find((m) => m.instance === start[p]);
          const to = present.find((m) => m.instance === after[p]);
          expect([from?.steady, to?.steady]).toEqual([true, true]);
        }
      }),
    );
  });

  test("moves the busiest first", () => {
    const load = (p: number): number => (p * 37) % PARTITIONS;
    const all = NOBODY.map(() => "old");
    const both = [
      { instance: "old", weight: 1, steady: true },
      { instance: "young", weight: 1, steady: true },
    ];
    const busiest = moved(all, assign(all, both, 5, load)).map(load);
    expect(busiest.toSorted((a, b) => a - b)).toEqual([59, 60, 61, 62, 63]);
  });

  test("leaves the owners as they are when nobody takes any", () => {
    const before = NOBODY.map((_, p) => `h${p % 2}`);
    expect(assign(before, [{ instance: "h0", weight: 0, steady: true }], 8)).toEqual(before);
    expect(assign(before, [], 8)).toEqual(before);
  });
});

describe("shares", () => {
  test("sum to all partitions and follow the weights to within one", () => {
    fc.assert(
      fc.property(members, (present) => {
        const share = shares(present);
        const total = present.reduce((sum, m) => sum + m.weight, 0);
        expect([...share.values()].reduce((a, b) => a + b, 0)).toBe(PARTITIONS);
        for (const { instance, weight } of present)
          expect(
            Math.abs((share.get(instance) as number) - (weight / total) * PARTITIONS),
          ).toBeLessThanOrEqual(1);
      }),
    );
  });
});

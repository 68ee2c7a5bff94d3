// From who lives to the next document: what is moved at once, what is announced, and what a cluster that flaps, drains
// and grows comes to.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PARTITIONS } from "#contracts/ids.ts";
import type { Member } from "#runtime/placement/assign.ts";
import { type Assignment, handedOver } from "#runtime/placement/document.ts";
import { MOVES_A_ROUND, planNext } from "#runtime/placement/plan.ts";

type Partitions = readonly Assignment[];

const EMPTY: Partitions = Array.from({ length: PARTITIONS }, () => ({ owner: undefined, epoch: 0 }));
const member = (instance: string, weight = 1, steady = true): Member => ({ instance, weight, steady });
const plan = (
  partitions: Partitions,
  members: readonly Member[],
  overdue = false,
  held: (instance: string) => number | undefined = () => undefined,
) => planNext({ partitions, members, overdue, held, load: () => 0 });

/** Every owner that lives hands over what was announced, at most so many of them. */
function handOver(partitions: Partitions, members: readonly Member[], most = PARTITIONS): Partitions {
  let left = most;
  return partitions.map((a) =>
    a.next !== undefined && members.some((m) => m.instance === a.owner) && left-- > 0
      ? handedOver(a, true)
      : a,
  );
}

/** Until nothing is left to do. */
function settle(start: Partitions, members: readonly Member[]): Partitions {
  let now = start;
  for (let round = 0; round < 60; round++) {
    const next = plan(now, members);
    const after = handOver(next?.partitions ?? now, members);
    if (!next && after.every((a, p) => a === now[p])) return now;
    now = after;
  }
  throw new Error("placement does not come to rest");
}

const countOf = (partitions: Partitions, instance: string): number =>
  partitions.filter(({ owner }) => owner === instance).length;

describe("a plan", () => {
  test("gives partitions without a living owner away at once, and raises their epochs", () => {
    const before = settle(EMPTY, [member("a"), member("b")]);
    const next = plan(before, [member("a")]);
    expect(next?.urgent).toBe(true);
    for (const [p, { owner, epoch, clean }] of (next?.partitions ?? []).entries()) {
      const old = before[p] as Assignment;
      expect(owner).toBe("a");
      expect(epoch).toBe(old.owner === "a" ? old.epoch : old.epoch + 1);
      expect(clean).toBe(old.owner === "a" ? old.clean : undefined);
    }
  });

  test("announces moves for balance, a round at a time, and changes no owner by itself", () => {
    const before = settle(EMPTY, [member("a")]);
    const both = [member("a"), member("b")];
    const next = plan(before, both);
    expect(next?.urgent).toBe(false);
    expect(next?.partitions.filter((a) => a.next === "b")).toHaveLength(MOVES_A_ROUND);
    expect(next?.partitions.map(({ owner, epoch }) => ({ owner, epoch }))).toEqual(
      before.map(({ owner, epoch }) => ({ owner, epoch })),
    );
    // While they are under way nothing more is announced.
    expect(plan(next?.partitions ?? [], both)).toBeUndefined();
    const some = handOver(next?.partitions ?? [], both, 3);
    expect(plan(some, both)).toBeUndefined();
  });

  test("gives nothing for balance while somebody has not taken what it was given, for a while", () => {
    const [a, b] = [member("a"), member("b")];
    const before = settle(EMPTY, [a]);
    const given = handOver(plan(before, [a, b])?.partitions ?? [], [a, b]);
    const holding =
      (count: number) =>
      (instance: string): number | undefined =>
        instance === "b" ? count : undefined;
    expect(plan(given, [a, b], false, holding(MOVES_A_ROUND - 1))).toBeUndefined();
    expect(plan(given, [a, b], true, holding(MOVES_A_ROUND - 1))).toBeDefined();
    expect(plan(given, [a, b], false, holding(MOVES_A_ROUND))).toBeDefined();
    // What has no living owner waits for nobody.
    expect(plan(given, [b], false, holding(0))?.urgent).toBe(true);
  });

  test("announces all that a draining host has", () => {
    const before = settle(EMPTY, [member("a"), member("b"), member("c")]);
    const next = plan(before, [member("a", 0), member("b"), member("c")]);
    for (const { owner, next: to } of next?.partitions ?? []) expect(to === undefined).toBe(owner !== "a");
  });

  test("makes an announced move without an owner that does not", () => {
    const both = [member("a"), member("b")];
    const stuck = plan(settle(EMPTY, [member("a")]), both)?.partitions ?? [];
    const next = plan(stuck, both, true);
    expect(next?.urgent).toBe(true);
    for (const [p, a] of (next?.partitions ?? []).entries())
      if (stuck[p]?.next) expect(a).toEqual({ owner: "b", epoch: (stuck[p]?.epoch ?? 0) + 1 });
  });

  test("takes back what was announced to a host that is gone", () => {
    const started = plan(settle(EMPTY, [member("a")]), [member("a"), member("b")])?.partitions ?? [];
    const next = plan(started, [member("a")]);
    expect(next?.partitions.some((a) => a.next !== undefined)).toBe(false);
    expect(countOf(next?.partitions ?? [], "a")).toBe(PARTITIONS);
  });

  test("comes to shares by weight, whatever came and went before", () => {
    const events = fc.array(
      fc.record({
        members: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1 }),
        draining: fc.constantFrom("a", "b", "c", "none"),
        unsteady: fc.constantFrom("c", "d", "e", "none"),
        handed: fc.nat({ max: 10 }),
        overdue: fc.boolean(),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(events, (happened) => {
        let now = EMPTY;
        for (const { members, draining, unsteady, handed, overdue } of happened) {
          const present = members.map((m) => member(m, m === draining ? 0 : 1, m !== unsteady));
          const next = plan(now, present, overdue)?.partitions ?? now;
          for (const [p, a] of next.entries()) {
            const old = now[p] as Assignment;
            // An epoch grows with each change of owner, and with nothing else.
            expect(a.epoch).toBe(a.owner === old.owner ? old.epoch : old.epoch + 1);
          }
          now = handOver(next, present, handed);
        }
        const rest = settle(now, [member("a"), member("b"), member("c", 2)]);
        expect([countOf(rest, "a"), countOf(rest, "b"), countOf(rest, "c")]).toEqual([16, 16, 32]);
        expect(rest.some((a) => a.next !== undefined)).toBe(false);
      }),
    );
  });
});

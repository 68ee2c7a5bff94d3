// A seed is worth printing only if it brings the same schedule back.
import { expect, test } from "vitest";
import { KILL_POINTS } from "#runtime/observe/kill-point.ts";
import { scheduleOf } from "#test/fault/modes.ts";
import { randomOf } from "#test/harness/random.ts";

test("a seed gives the same schedule again, another seed another one", () => {
  expect(scheduleOf(randomOf(5), 50)).toEqual(scheduleOf(randomOf(5), 50));
  expect(scheduleOf(randomOf(5), 50)).not.toEqual(scheduleOf(randomOf(6), 50));
});

test("every step is hit as often as every other one", () => {
  const counts = new Map<string, number>();
  for (const { point } of scheduleOf(randomOf(1), KILL_POINTS.length * 7))
    counts.set(point, (counts.get(point) ?? 0) + 1);
  expect([...counts.keys()].toSorted()).toEqual([...KILL_POINTS].toSorted());
  expect(new Set(counts.values())).toEqual(new Set([7]));
});

test("what one part draws does not change what another part gets", () => {
  const [one, other] = [randomOf(9), randomOf(9)];
  one.next();
  expect(one.fork("load").next()).toBe(other.fork("load").next());
});

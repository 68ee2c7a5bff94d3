import { expect, test } from "vitest";
import { NO_USAGE } from "#contracts/usage.ts";
import { groupBy, overTime, poisson, ratiosOf, repeated, roseInOrder } from "#ops/bench/arrivals.ts";
import { type Asked, kindOf, levelOf, tierChanges } from "#ops/bench/open-loop.ts";
import { randomFrom } from "#ops/bench/shape.ts";

test("arrivals come at their rate, in order, the same for the same seed", () => {
  const times = [...poisson(randomFrom(7), 50, 1_000, 101_000)];
  expect(times).toEqual([...poisson(randomFrom(7), 50, 1_000, 101_000)]);
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(times[0]).toBeGreaterThan(1_000);
  expect(times.length / 100).toBeGreaterThan(47);
  expect(times.length / 100).toBeLessThan(53);
  expect([...poisson(randomFrom(7), 0)]).toEqual([]);
});

test("repeated arrivals are the same in every period, from the moment that was asked for", () => {
  const moments: number[] = [];
  for (const at of repeated([10, 40, 90], 100, 1_000, 1_050)) {
    moments.push(at);
    if (moments.length === 7) break;
  }
  expect(moments).toEqual([1_090, 1_110, 1_140, 1_190, 1_210, 1_240, 1_290]);
  expect([...repeated([], 100, 0, 0)]).toEqual([]);
});

test("ratios are by group, and a group that vanished is the worst of all", () => {
  const before = new Map([
    ["a", [100, 100]],
    ["b", [100, 100]],
  ]);
  const after = new Map([
    ["a", [150, 150]],
    ["b", [110, 110]],
    ["flooder", [9_000]],
  ]);
  expect(ratiosOf(before, after, 0.95)).toEqual({
    worst: 1.5,
    median: 1.5,
    pooled: 1.5,
    fewest: 2,
    groups: 2,
  });
  expect(ratiosOf(before, new Map(), 0.95).worst).toBe(Number.POSITIVE_INFINITY);
});

test("levels rose in order when none was skipped on the way up", () => {
  expect(roseInOrder([1, 2, 1, 2, 3, 2, 1, 0])).toBe(true);
  expect(roseInOrder([2, 1, 0])).toBe(false);
  expect(roseInOrder([])).toBe(true);
});

test("groups and windows", () => {
  expect(
    groupBy(
      [1, 2, 3],
      (n) => (n % 2 ? "odd" : "even"),
      (n) => n * 10,
    ),
  ).toEqual(
    new Map([
      ["odd", [10, 30]],
      ["even", [20]],
    ]),
  );
  expect(
    overTime(
      [2_500, 100, 200],
      (n) => n,
      (n) => n,
      0.5,
    ),
  ).toEqual([
    [0, 200],
    [2, 2_500],
  ]);
});

const asked = (session: string, turn: number, tier: string, reasons: string[] = []): Asked => ({
  tenant: "t",
  session,
  text: "",
  group: "ongoing",
  dueAt: 0,
  records: 1,
  recordId: undefined,
  latencyMs: 1,
  unsent: false,
  record: {
    outcome: "answered",
    model: "m",
    turn,
    error: undefined,
    route: { pool: tier, tier, reasons },
    usage: NO_USAGE,
  },
});

test("a conversation that meets another tier is one change, whoever came first in the list", () => {
  expect(tierChanges([asked("a", 2, "default"), asked("a", 1, "default"), asked("b", 1, "small")])).toBe(0);
  expect(tierChanges([asked("a", 2, "small"), asked("a", 1, "default")])).toBe(1);
});

test("answers are told apart by their records", () => {
  expect(kindOf(asked("a", 1, "default"))).toBe("model");
  expect(kindOf(asked("a", 1, "small"))).toBe("smaller");
  expect(kindOf({ record: undefined })).toBe("none");
  expect(levelOf(asked("a", 1, "", ["kept", "load level 2: answered from the documents"]))).toBe(2);
  expect(levelOf(asked("a", 1, "", []))).toBe(0);
});

// The judge of timers finds what must not happen.
import { expect, test } from "vitest";
import { wrongTimers } from "#test/harness/tally-load.ts";

test("a timer that was set, replaced or cancelled and fires as it should is fine", () => {
  expect(
    wrongTimers("k", ["n1", "set t2", "t2", "set t3", "set t4", "t4", "set t5", "cancelled c6"]),
  ).toEqual([]);
});

test("a replaced timer, a cancelled one, one that fires twice and one that never does are each found", () => {
  expect(wrongTimers("k", ["set t1", "set t2", "t1", "t2"])).toHaveLength(2);
  expect(wrongTimers("k", ["set t1", "cancelled c2", "t1"])).toHaveLength(1);
  expect(wrongTimers("k", ["set t1", "t1", "t1"])).toHaveLength(1);
  expect(wrongTimers("k", ["set t1", "n2"])).toHaveLength(1);
});

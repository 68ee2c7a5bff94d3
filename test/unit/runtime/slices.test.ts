// Work in slices: all of it is done, in order, and everything else has its turn between.
import { expect, test } from "vitest";
import { inSlices } from "#runtime/slices.ts";

function* steps(count: number, step: (n: number) => void): Generator<undefined, void> {
  for (let n = 0; n < count; n++) {
    step(n);
    yield;
  }
}

test("what fits a slice is done at once, and nothing is waited for", () => {
  const done: number[] = [];
  expect(
    inSlices(
      steps(3, (n) => done.push(n)),
      1_000,
    ),
  ).toBeUndefined();
  expect(done).toEqual([0, 1, 2]);
});

test("what does not is done in order, with turns for others between", async () => {
  const done: string[] = [];
  let other = true;
  const turn = (): void => {
    done.push("other");
    if (other) setImmediate(turn);
  };
  setImmediate(turn);
  // Every step is a slice of its own.
  await inSlices(
    steps(5, (n) => done.push(String(n))),
    0,
  );
  other = false;
  expect(done.filter((each) => each !== "other")).toEqual(["0", "1", "2", "3", "4"]);
  expect(done.indexOf("other")).toBeLessThan(done.indexOf("4"));
});

test("a step that throws ends it, in the first slice and later", async () => {
  const failing = (n: number): void => {
    if (n === 2) throw new Error("no");
  };
  expect(() => inSlices(steps(4, failing), 1_000)).toThrow("no");
  await expect(inSlices(steps(4, failing), 0)).rejects.toThrow("no");
});
